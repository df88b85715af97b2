//! What a request needs of a target: capabilities, context, and how much it will use.

use pointsman_sdk::{Value, View};

use crate::EXPECTED_OUTPUT_TOKENS;
use crate::candidate::Candidate;

/// Messages and parts that are looked at for pictures, newest first. Every look is a recorded host call; a request with
/// more of them is taken to need vision, which can only cost money.
const LOOKS_MAX: u32 = 4096;

/// What the operator says of every request.
#[derive(Debug)]
pub struct Terms {
    expected_output_tokens: u32,
    require: Vec<String>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            expected_output_tokens: EXPECTED_OUTPUT_TOKENS,
            require: Vec::new(),
        }
    }
}

impl Terms {
    /// How long an answer is reckoned to be, and capabilities that a target needs whatever the request is.
    ///
    /// # Errors
    /// The key that is wrong and why.
    pub fn new(expected_output_tokens: u32, require: Vec<String>) -> Result<Self, String> {
        if expected_output_tokens == 0 {
            return Err("expected-output-tokens: must be above 0".to_owned());
        }
        if require.iter().any(String::is_empty) {
            return Err("require: a capability has a name".to_owned());
        }
        Ok(Self {
            expected_output_tokens,
            require,
        })
    }
}

/// What a request needs.
#[derive(Debug)]
pub struct Need {
    pub(crate) capabilities: Vec<String>,
    /// Input tokens, as the gateway estimates them.
    pub(crate) input_tokens: i64,
    /// Output tokens that all choices together are reckoned to take.
    pub(crate) output_tokens: i128,
    /// Output tokens that one choice has to have room for.
    pub(crate) room_tokens: i64,
    /// Output tokens that the caller asks for by number.
    pub(crate) asked_tokens: Option<i64>,
}

impl Need {
    /// All but whether there are pictures.
    pub(crate) fn of(request: &dyn View, terms: &Terms) -> Self {
        let expected = i64::from(terms.expected_output_tokens);
        let fields = request.fields(&[
            "max-output-tokens",
            "n",
            "response-format",
            "streaming",
            "input-tokens-estimate",
        ]);
        let field = |place: usize| fields.get(place).and_then(Option::as_ref);
        let integer = |place| field(place).and_then(Value::as_integer);
        let asked = integer(0).filter(|asked| *asked > 0);
        let choices = integer(1).unwrap_or(1).max(1);
        let reckoned = asked.map_or(expected, |asked| asked.min(expected));
        Self {
            capabilities: capabilities(
                request,
                terms,
                field(2).and_then(Value::as_text),
                field(3).and_then(Value::as_flag) == Some(true),
            ),
            input_tokens: input_tokens(request, integer(4)),
            output_tokens: i128::from(choices) * i128::from(reckoned),
            room_tokens: asked.unwrap_or(expected),
            asked_tokens: asked,
        }
    }

    /// Looks for pictures, where a candidate could not take one.
    pub(crate) fn add_vision(&mut self, request: &dyn View, candidates: &[Candidate]) {
        let all_see = candidates.iter().all(|candidate| candidate.can("vision"));
        let known = self.capabilities.iter().any(|known| known == "vision");
        if !all_see && !known && has_image(request) {
            self.capabilities.push("vision".to_owned());
        }
    }
}

fn capabilities(
    request: &dyn View,
    terms: &Terms,
    format: Option<&str>,
    streams: bool,
) -> Vec<String> {
    let mut needed = terms.require.clone();
    let mut need = |capability: &str, needs: bool| {
        if needs && !needed.iter().any(|known| known == capability) {
            needed.push(capability.to_owned());
        }
    };
    need("tools", !request.tool_names().is_empty());
    // The dialect writes json_schema, the field may be spelt as all fields are.
    need(
        "json-schema",
        format.is_some_and(|format| format.replace('_', "-") == "json-schema"),
    );
    need("streaming", streams);
    needed
}

/// The gateway's estimate; without one, four bytes of body a token.
fn input_tokens(request: &dyn View, estimate: Option<i64>) -> i64 {
    estimate
        .filter(|tokens| *tokens >= 0)
        .unwrap_or_else(|| i64::try_from(request.body_length().div_ceil(4)).unwrap_or(i64::MAX))
}

fn has_image(request: &dyn View) -> bool {
    let mut looks = 0;
    for message in (0..request.message_count()).rev() {
        let parts = request
            .message_field(message, "parts")
            .and_then(|parts| parts.as_integer())
            .and_then(|parts| u32::try_from(parts).ok())
            .unwrap_or(0);
        // The look at the message itself counts, or one of empty messages alone would be read to its end.
        looks += 1;
        for part in (0..parts).rev() {
            looks += 1;
            if looks > LOOKS_MAX {
                return true;
            }
            let kind = request.part_field(message, part, "kind");
            if kind.as_ref().and_then(|kind| kind.as_text()) == Some("image") {
                return true;
            }
        }
        if looks > LOOKS_MAX {
            return true;
        }
    }
    false
}
