//! The vectors of texts: what is asked of a target, and its answer.
//!
//! Promises: an answer is taken whole or not at all: a vector for each text, all of one length, every number finite.
//! What it says it used is told also where the vectors are refused, since that is billed.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
struct Asked<'a> {
    model: &'a str,
    input: &'a [&'a str],
    encoding_format: &'static str,
}

/// The body that asks `model` for the vectors of `texts`.
#[must_use]
pub fn request(model: &str, texts: &[&str]) -> Bytes {
    let asked = Asked {
        model,
        input: texts,
        encoding_format: "float",
    };
    // Strings and lists of them always serialise.
    serde_json::to_vec(&asked)
        .map(Bytes::from)
        .unwrap_or_default()
}

/// Bytes that an honest answer stays below.
#[must_use]
pub const fn answer_bytes_max(texts: usize, dimensions_max: usize) -> usize {
    /// A number as the most wordful servers write it, with its comma and white space.
    const NUMBER_BYTES: usize = 32;
    /// Everything around the numbers.
    const REST_BYTES: usize = 64 * 1024;
    texts
        .saturating_mul(dimensions_max)
        .saturating_mul(NUMBER_BYTES)
        .saturating_add(REST_BYTES)
}

/// What a target answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Tokens that it says it read.
    pub tokens: Option<u64>,
    /// The vectors in the order of the texts, or what is wrong with them.
    pub vectors: Result<Vec<Vec<f32>>, EmbeddingsError>,
}

/// Why an answer's vectors are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddingsError {
    /// Not the dialect's answer.
    #[error("the answer is no list of embeddings")]
    Malformed,
    /// Too few, too many, one twice, or one for no text.
    #[error("the answer has not one vector for each text")]
    Count,
    /// A vector without numbers, or with more than are taken.
    #[error("a vector has {length} numbers; 1 to {max} are taken")]
    Length {
        /// How many.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// Vectors that cannot be compared.
    #[error("the vectors have different lengths")]
    Uneven,
    /// A number that is none, or beyond what fits.
    #[error("a vector holds a number that is not finite")]
    NotFinite,
}

#[derive(Deserialize)]
struct Told {
    data: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    index: usize,
    /// Wider than what is kept: what overflows there is told from what is no number.
    embedding: Vec<f64>,
}

#[derive(Deserialize)]
struct Used {
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: Option<u64>,
}

/// Reads the answer to a request for the vectors of so many texts.
#[must_use]
pub fn parse(body: &[u8], texts: usize, dimensions_max: usize) -> Answer {
    let used = serde_json::from_slice::<Used>(body).ok();
    Answer {
        tokens: used.and_then(|used| used.usage?.prompt_tokens),
        vectors: vectors(body, texts, dimensions_max),
    }
}

fn vectors(
    body: &[u8],
    texts: usize,
    dimensions_max: usize,
) -> Result<Vec<Vec<f32>>, EmbeddingsError> {
    let told: Told = serde_json::from_slice(body).map_err(|_error| EmbeddingsError::Malformed)?;
    if told.data.len() != texts {
        return Err(EmbeddingsError::Count);
    }
    let mut vectors = vec![Vec::new(); texts];
    for one in told.data {
        let length = one.embedding.len();
        if !(1..=dimensions_max).contains(&length) {
            let max = dimensions_max;
            return Err(EmbeddingsError::Length { length, max });
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounded; overflow is looked for"
        )]
        let vector: Vec<f32> = one.embedding.iter().map(|&number| number as f32).collect();
        if vector.iter().any(|number| !number.is_finite()) {
            return Err(EmbeddingsError::NotFinite);
        }
        match vectors.get_mut(one.index) {
            Some(place) if place.is_empty() => *place = vector,
            Some(_) | None => return Err(EmbeddingsError::Count),
        }
    }
    let length = vectors.first().map_or(0, Vec::len);
    if vectors.iter().any(|vector| vector.len() != length) {
        return Err(EmbeddingsError::Uneven);
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn told(body: &Value, texts: usize) -> Answer {
        parse(body.to_string().as_bytes(), texts, 4)
    }

    #[test]
    fn texts_are_asked_for_in_their_order() {
        let body = request("m", &["a \"b\"", "c"]);
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let wanted = json!({"model": "m", "input": ["a \"b\"", "c"], "encoding_format": "float"});
        assert_eq!(body, wanted);
    }

    #[test]
    fn vectors_come_in_the_order_of_the_texts() {
        let data = json!([{"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": [1, 2]}]);
        let answer = told(&json!({"data": data, "usage": {"prompt_tokens": 7}}), 2);
        assert_eq!(answer.tokens, Some(7));
        assert_eq!(answer.vectors, Ok(vec![vec![1.0, 2.0], vec![3.0, 4.5]]));
    }

    #[test]
    fn what_is_wrong_is_said_and_what_was_used_is_still_known() {
        use EmbeddingsError::{Count, Length, Malformed, NotFinite, Uneven};
        let one = |embedding: Value| json!([{"index": 0, "embedding": embedding}]);
        let two = |first: Value, second: Value| json!([first, second]);
        let at = |index: usize, embedding: Value| json!({"index": index, "embedding": embedding});
        for (data, texts, wanted) in [
            (json!([]), 1, Count),
            (one(json!([1])), 2, Count),
            (json!([{"index": 1, "embedding": [1]}]), 1, Count),
            (two(at(0, json!([1])), at(0, json!([1]))), 2, Count),
            (two(at(0, json!([1])), at(1, json!([1, 2]))), 2, Uneven),
            (one(json!([])), 1, Length { length: 0, max: 4 }),
            (one(json!([1, 2, 3, 4, 5])), 1, Length { length: 5, max: 4 }),
            (one(json!([1e39])), 1, NotFinite),
            (one(json!([null])), 1, Malformed),
            (one(json!("AACAPw==")), 1, Malformed),
            (json!([{"embedding": [1]}]), 1, Malformed),
            (json!({}), 1, Malformed),
        ] {
            let answer = told(&json!({"data": data, "usage": {"prompt_tokens": 7}}), texts);
            assert_eq!(answer.vectors, Err(wanted), "{data}");
            assert_eq!(answer.tokens, Some(7), "{data}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic_and_what_is_taken_is_sound(
            mut body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                r#"\{"data":\[\{"index":[0-2],"embedding":\[[-0-9.e,]{0,12}\]\}\],"usage":\{"prompt_tokens":-?[0-9]{1,22}\}\}"#
                    .prop_map(String::into_bytes),
            ],
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            texts in 0_usize..3,
        ) {
            if byte < 64 && !body.is_empty() {
                let at = place.index(body.len());
                body[at] = byte;
            }
            if let Ok(vectors) = parse(&body, texts, 4).vectors {
                prop_assert_eq!(vectors.len(), texts);
                for vector in &vectors {
                    prop_assert!((1..=4).contains(&vector.len()));
                    prop_assert!(vector.iter().all(|number| number.is_finite()));
                }
            }
        }

        #[test]
        fn honest_answers_are_read_back(
            vectors in prop::collection::vec(prop::collection::vec(-1e30_f32..1e30, 3), 0..4),
        ) {
            let data: Vec<Value> = vectors.iter().enumerate()
                .map(|(index, embedding)| json!({"index": index, "embedding": embedding}))
                .collect();
            let body = serde_json::to_vec_pretty(&json!({"data": data})).expect("JSON");
            prop_assert!(body.len() <= answer_bytes_max(vectors.len(), 3));
            let answer = parse(&body, vectors.len(), 3);
            prop_assert_eq!(answer.vectors, Ok(vectors));
            prop_assert_eq!(answer.tokens, None);
        }
    }
}
