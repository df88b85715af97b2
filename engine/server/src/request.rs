//! A chat request, read strictly: every field is understood, refused as wrong, or refused as unsupported.
//!
//! Pure: bytes in, a request or the error to answer out.

use pointsman_model::{Message, Sampling};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::limits::{MESSAGES_MAX, STOP_BYTES_MAX, STOPS_MAX};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChatRequest {
    pub(crate) model: String,
    pub(crate) messages: Vec<Message>,
    pub(crate) temperature: f32,
    pub(crate) top_p: f32,
    pub(crate) seed: Option<u64>,
    pub(crate) stops: Vec<String>,
    pub(crate) tokens_max: Option<usize>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
}

impl ChatRequest {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::json(format!("the body is not JSON: {error}")))?;
        let Value::Object(fields) = body else {
            return Err(ApiError::json("the body is not a JSON object"));
        };
        let mut request = Self {
            model: String::new(),
            messages: Vec::new(),
            temperature: 1.0,
            top_p: 1.0,
            seed: None,
            stops: Vec::new(),
            tokens_max: None,
            stream: false,
            include_usage: false,
        };
        for required in ["model", "messages"] {
            if fields.get(required).is_none_or(Value::is_null) {
                return Err(ApiError::invalid(
                    required,
                    format!("'{required}' is required"),
                ));
            }
        }
        for (field, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            request.field(field, value)?;
        }
        request.check(&fields)?;
        Ok(request)
    }

    fn field(&mut self, field: &str, value: &Value) -> Result<(), ApiError> {
        match field {
            "model" => text(field, value)?.clone_into(&mut self.model),
            "messages" => self.messages = messages(value)?,
            "temperature" => self.temperature = number(field, value, 2.0)?,
            "top_p" => self.top_p = number(field, value, 1.0)?,
            "seed" => self.seed = Some(seed(value)?),
            "stop" => self.stops = stops(value)?,
            "max_tokens" | "max_completion_tokens" => {
                self.tokens_max = Some(tokens_max(field, value)?);
            }
            "stream" => self.stream = boolean(field, value)?,
            "stream_options" => self.stream_options(value)?,
            // Fields that say nothing about the answer itself.
            "user"
            | "metadata"
            | "safety_identifier"
            | "prompt_cache_key"
            | "parallel_tool_calls" => {}
            // Fields that are harmless at the value that changes nothing, and refused at any other.
            _ if is_neutral(field, value) => {}
            _ => return Err(ApiError::unsupported(field)),
        }
        Ok(())
    }

    fn stream_options(&mut self, value: &Value) -> Result<(), ApiError> {
        let Value::Object(options) = value else {
            return Err(ApiError::invalid(
                "stream_options",
                "'stream_options' must be an object",
            ));
        };
        for (option, value) in options {
            let name = format!("stream_options.{option}");
            match option.as_str() {
                "include_usage" => self.include_usage = boolean(&name, value)?,
                "include_obfuscation" if *value == Value::Bool(false) => {}
                _ => return Err(ApiError::unsupported(&name)),
            }
        }
        Ok(())
    }

    fn check(&self, fields: &Map<String, Value>) -> Result<(), ApiError> {
        let given = |field: &str| fields.get(field).is_some_and(|value| !value.is_null());
        if given("max_tokens") && given("max_completion_tokens") {
            return Err(ApiError::invalid(
                "max_tokens",
                "'max_tokens' and 'max_completion_tokens' say the same; give one",
            ));
        }
        if given("stream_options") && !self.stream {
            return Err(ApiError::invalid(
                "stream_options",
                "'stream_options' needs 'stream': true",
            ));
        }
        Ok(())
    }

    /// How to pick tokens; `fallback` seeds a request that names no seed.
    pub(crate) fn sampling(&self, fallback: u64) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            seed: self.seed.unwrap_or(fallback),
        }
    }
}

fn is_neutral(field: &str, value: &Value) -> bool {
    let is_empty = match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    match field {
        "n" => value.as_u64() == Some(1),
        "presence_penalty" | "frequency_penalty" => value.as_f64() == Some(0.0),
        "logprobs" | "store" => *value == Value::Bool(false),
        "top_logprobs" => value.as_u64() == Some(0),
        "logit_bias" | "tools" | "functions" => is_empty,
        "tool_choice" | "function_call" => value == "none",
        "response_format" => value.get("type").is_some_and(|kind| kind == "text"),
        "service_tier" => value == "auto" || value == "default",
        "modalities" => value
            .as_array()
            .is_some_and(|list| list.iter().all(|kind| kind == "text")),
        _ => false,
    }
}

fn text<'a>(field: &str, value: &'a Value) -> Result<&'a str, ApiError> {
    value
        .as_str()
        .ok_or_else(|| ApiError::invalid(field, format!("'{field}' must be a string")))
}

fn boolean(field: &str, value: &Value) -> Result<bool, ApiError> {
    value
        .as_bool()
        .ok_or_else(|| ApiError::invalid(field, format!("'{field}' must be true or false")))
}

fn number(field: &str, value: &Value, limit: f32) -> Result<f32, ApiError> {
    let found = value
        .as_f64()
        .map(|number| number as f32)
        .filter(|number| (0.0..=limit).contains(number));
    found.ok_or_else(|| {
        ApiError::invalid(
            field,
            format!("'{field}' must be a number from 0 to {limit}"),
        )
    })
}

fn seed(value: &Value) -> Result<u64, ApiError> {
    let found = value
        .as_u64()
        .or_else(|| value.as_i64().map(i64::cast_unsigned));
    found.ok_or_else(|| ApiError::invalid("seed", "'seed' must be an integer of 64 bits"))
}

fn tokens_max(field: &str, value: &Value) -> Result<usize, ApiError> {
    let found = value.as_u64().filter(|count| *count > 0);
    // Beyond any context it is the context that ends the answer.
    found
        .map(|count| usize::try_from(count).unwrap_or(usize::MAX))
        .ok_or_else(|| {
            ApiError::invalid(field, format!("'{field}' must be a whole number above 0"))
        })
}

fn stops(value: &Value) -> Result<Vec<String>, ApiError> {
    let wrong = || {
        ApiError::invalid(
            "stop",
            format!(
                "'stop' must be a string or up to {STOPS_MAX}, each of 1 to {STOP_BYTES_MAX} bytes"
            ),
        )
    };
    let list = match value {
        Value::Array(list) => list.as_slice(),
        other => std::slice::from_ref(other),
    };
    if list.len() > STOPS_MAX {
        return Err(wrong());
    }
    let stop = |value: &Value| {
        let stop = value
            .as_str()
            .filter(|stop| (1..=STOP_BYTES_MAX).contains(&stop.len()));
        stop.map(str::to_owned).ok_or_else(wrong)
    };
    list.iter().map(stop).collect()
}

fn messages(value: &Value) -> Result<Vec<Message>, ApiError> {
    let list = value
        .as_array()
        .filter(|list| (1..=MESSAGES_MAX).contains(&list.len()));
    let list = list.ok_or_else(|| {
        ApiError::invalid(
            "messages",
            format!("'messages' must be an array of 1 to {MESSAGES_MAX} messages"),
        )
    })?;
    list.iter()
        .enumerate()
        .map(|(at, value)| message(&format!("messages[{at}]"), value))
        .collect()
}

fn message(place: &str, value: &Value) -> Result<Message, ApiError> {
    let Value::Object(fields) = value else {
        return Err(ApiError::invalid(
            place,
            format!("'{place}' must be an object"),
        ));
    };
    let (mut role, mut content) = (None, None);
    for (field, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let name = format!("{place}.{field}");
        match field.as_str() {
            "role" => role = Some(self::role(&name, value)?),
            "content" => content = Some(self::content(&name, value)?),
            // What an answer of an earlier turn carries when a client sends it back.
            "tool_calls" | "annotations" if value.as_array().is_some_and(Vec::is_empty) => {}
            _ => return Err(ApiError::unsupported(&name)),
        }
    }
    let missing = |field: &str| {
        let name = format!("{place}.{field}");
        ApiError::invalid(&name, format!("'{name}' is required"))
    };
    Ok(Message {
        role: role.ok_or_else(|| missing("role"))?,
        content: content.ok_or_else(|| missing("content"))?,
    })
}

fn role(name: &str, value: &Value) -> Result<String, ApiError> {
    match text(name, value)? {
        role @ ("system" | "user" | "assistant") => Ok(role.to_owned()),
        // OpenAI's newer word for the same thing; templates know only the older.
        "developer" => Ok("system".to_owned()),
        "tool" | "function" => Err(ApiError::unsupported(name)),
        other => Err(ApiError::invalid(
            name,
            format!("'{name}' is '{other}', which is no role"),
        )),
    }
}

fn content(name: &str, value: &Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => {
            let mut joined = String::new();
            for (at, part) in parts.iter().enumerate() {
                let name = format!("{name}[{at}]");
                match part.get("type").and_then(Value::as_str) {
                    Some("text") => {
                        let value = part.get("text").unwrap_or(&Value::Null);
                        joined.push_str(text(&format!("{name}.text"), value)?);
                    }
                    Some(_) => return Err(ApiError::unsupported(&format!("{name}.type"))),
                    None => return Err(ApiError::invalid(&name, format!("'{name}' has no type"))),
                }
            }
            Ok(joined)
        }
        _ => Err(ApiError::invalid(
            name,
            format!("'{name}' must be a string or an array of parts"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HELLO: &str = r#"{"role": "user", "content": "Hi"}"#;

    /// Parses a request with these further fields.
    fn parse(fields: &str) -> Result<ChatRequest, ApiError> {
        let comma = if fields.is_empty() { "" } else { "," };
        ChatRequest::parse(
            format!(r#"{{"model": "m", "messages": [{HELLO}]{comma}{fields}}}"#).as_bytes(),
        )
    }

    fn check_refused(fields: &str, code: &str, param: &str) {
        let body = parse(fields).expect_err(fields).body();
        assert_eq!(
            (&body["error"]["code"], &body["error"]["param"]),
            (&json!(code), &json!(param)),
            "{fields}"
        );
    }

    #[test]
    fn what_is_understood_is_read() {
        let request = parse(
            r#""temperature": 0, "top_p": 0.5, "seed": -1, "stop": ["a", "b"], "max_tokens": 7,
               "stream": true, "stream_options": {"include_usage": true}, "n": 1, "tools": [],
               "response_format": {"type": "text"}, "user": "u", "logprobs": null, "presence_penalty": 0"#,
        )
        .expect("understood");
        assert_eq!(
            (request.temperature, request.top_p, request.seed),
            (0.0, 0.5, Some(u64::MAX))
        );
        assert_eq!((request.stops.len(), request.tokens_max), (2, Some(7)));
        assert!(request.stream && request.include_usage);
        assert_eq!(parse("").expect("defaults").temperature, 1.0);
    }

    #[test]
    fn what_would_change_the_result_is_unsupported() {
        for (fields, param) in [
            (r#""n": 2"#, "n"),
            (r#""tools": [{}]"#, "tools"),
            (r#""tool_choice": "auto""#, "tool_choice"),
            (r#""logprobs": true"#, "logprobs"),
            (r#""logit_bias": {"1": 1}"#, "logit_bias"),
            (
                r#""response_format": {"type": "json_object"}"#,
                "response_format",
            ),
            (r#""presence_penalty": 0.1"#, "presence_penalty"),
            (r#""frequency_penalty": -1"#, "frequency_penalty"),
            (r#""top_k": 5"#, "top_k"),
            (r#""whatever": 1"#, "whatever"),
            (
                r#""stream": true, "stream_options": {"x": 1}"#,
                "stream_options.x",
            ),
        ] {
            check_refused(fields, "unsupported", param);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (fields, param) in [
            (r#""temperature": "hot""#, "temperature"),
            (r#""temperature": 2.5"#, "temperature"),
            (r#""top_p": -0.1"#, "top_p"),
            (r#""seed": 1.5"#, "seed"),
            (r#""stop": ["a", "b", "c", "d", "e"]"#, "stop"),
            (r#""stop": """#, "stop"),
            (r#""max_tokens": 0"#, "max_tokens"),
            (
                r#""max_tokens": 1, "max_completion_tokens": 1"#,
                "max_tokens",
            ),
            (r#""stream": 1"#, "stream"),
            (r#""stream_options": {}"#, "stream_options"),
        ] {
            check_refused(fields, "invalid_value", param);
        }
    }

    #[test]
    fn messages_are_read_strictly() {
        let read = |messages: &str| {
            ChatRequest::parse(format!(r#"{{"model": "m", "messages": {messages}}}"#).as_bytes())
                .map_err(|error| {
                    error.body()["error"]["param"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned()
                })
                .map(|request| request.messages)
        };
        let parts = r#"[{"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]"#;
        let message = Message {
            role: "system".to_owned(),
            content: "ab".to_owned(),
        };
        assert_eq!(read(parts), Ok(vec![message]));
        for (messages, param) in [
            ("[]", "messages"),
            ("null", "messages"),
            ("7", "messages"),
            ("[7]", "messages[0]"),
            (r#"[{"role": "user"}]"#, "messages[0].content"),
            (r#"[{"content": "x"}]"#, "messages[0].role"),
            (r#"[{"role": "robot", "content": "x"}]"#, "messages[0].role"),
            (r#"[{"role": "tool", "content": "x"}]"#, "messages[0].role"),
            (
                r#"[{"role": "user", "content": [{"type": "image_url"}]}]"#,
                "messages[0].content[0].type",
            ),
            (
                r#"[{"role": "user", "content": "x", "name": "n"}]"#,
                "messages[0].name",
            ),
        ] {
            assert_eq!(read(messages), Err(param.to_owned()), "{messages}");
        }
        assert!(ChatRequest::parse(b"[]").is_err());
        assert!(ChatRequest::parse(b"{").is_err());
        assert!(ChatRequest::parse(b"{}").is_err());
    }
}
