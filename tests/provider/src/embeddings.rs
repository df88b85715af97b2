//! The embeddings API: a text's vector counts its words, each in one of a few places, so that texts of the same words
//! are near each other.

use http::StatusCode;
use serde_json::{Value, json};

use crate::chat::Reply;
use crate::exchange::Request;
use crate::tokens;

/// Numbers of a vector.
const DIMENSIONS: usize = 16;

/// The vectors of the request's texts.
pub(crate) fn compute(request: &Request) -> Reply {
    let texts = request.json["input"].as_array().map(Vec::as_slice);
    let texts: Option<Vec<&str>> = texts
        .unwrap_or_default()
        .iter()
        .map(Value::as_str)
        .collect();
    let Some(texts) = texts.filter(|texts| texts.iter().all(|text| !text.is_empty())) else {
        let message = "`input` is a list of texts, none of them empty";
        return Reply::error(StatusCode::BAD_REQUEST, "input", None, message);
    };
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text)}))
        .collect();
    let tokens: u64 = texts.iter().map(|text| tokens::count(text)).sum();
    let answer = json!({
        "object": "list",
        "data": data,
        "model": request.model(),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    });
    Reply::json(StatusCode::OK, &answer)
}

fn vector(text: &str) -> [f32; DIMENSIONS] {
    let mut vector = [0.0; DIMENSIONS];
    for word in text.split_whitespace() {
        let sum = word.bytes().map(usize::from).sum::<usize>();
        vector[sum % DIMENSIONS] += 1.0;
    }
    let length = vector.iter().map(|number| number * number).sum::<f32>();
    vector.map(|number| number / length.sqrt().max(1.0))
}
