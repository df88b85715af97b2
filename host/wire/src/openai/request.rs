//! A chat request: checked once, kept as bytes.

use std::borrow::Cow;
use std::fmt::Display;

use bytes::Bytes;
use pointsman_domain::{ErrorKind, GatewayError};

use crate::json::{Fault, Kind, Limits, Node, Tape};

/// Bounds of a request.
#[derive(Clone, Copy, Debug)]
pub struct ParseLimits {
    /// Messages of one request.
    pub messages_max: usize,
    /// Containers inside containers, tool schemas included.
    pub depth_max: usize,
    /// JSON values and keys altogether.
    pub values_max: usize,
    /// Tools offered to the model.
    pub tools_max: usize,
    /// Choices asked for (`n`).
    pub choices_max: u32,
}

impl Default for ParseLimits {
    fn default() -> Self {
        Self {
            messages_max: 10_000,
            depth_max: 128,
            values_max: 1_000_000,
            tools_max: 1_024,
            choices_max: 128,
        }
    }
}

/// A chat completion request.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    body: Bytes,
    tape: Tape,
    pub(super) limits: ParseLimits,
    settings: Settings,
}

/// What the host itself needs to know.
#[derive(Clone, Debug, Default)]
struct Settings {
    model: String,
    streaming: bool,
    user: Option<String>,
    choices: u32,
    max_output_tokens: Option<u64>,
    include_usage: bool,
}

impl ChatRequest {
    /// Reads a body. The bytes are kept as they came.
    ///
    /// # Errors
    /// `InvalidJson` with line and column, or `InvalidField` with the field's name; the text never repeats content.
    pub fn parse(body: Bytes, limits: &ParseLimits) -> Result<Self, GatewayError> {
        let text = std::str::from_utf8(&body)
            .map_err(|error| broken(&body, error.valid_up_to(), "text that is not UTF-8"))?;
        let json_limits = Limits {
            depth_max: limits.depth_max,
            values_max: limits.values_max,
        };
        let tape = Tape::parse(text, json_limits).map_err(|fault| refused(&body, fault, limits))?;
        let settings = Checker { limits }.request(tape.root(text))?;
        Ok(Self {
            body,
            tape,
            limits: *limits,
            settings,
        })
    }

    /// The body as it stands.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    pub(super) fn text(&self) -> &str {
        // `parse` has checked; an empty text would only make a request that names nothing.
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    pub(super) fn root<'a>(&'a self, text: &'a str) -> Node<'a> {
        self.tape.root(text)
    }

    /// The model that the caller names.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.settings.model
    }

    /// Whether the caller wants a stream.
    #[must_use]
    pub const fn streaming(&self) -> bool {
        self.settings.streaming
    }

    /// The caller's name for its end user.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.settings.user.as_deref()
    }

    /// Choices asked for, at least 1.
    #[must_use]
    pub const fn n(&self) -> u32 {
        self.settings.choices
    }

    /// `max_completion_tokens` or `max_tokens`; where both are given they are equal.
    #[must_use]
    pub const fn max_output_tokens(&self) -> Option<u64> {
        self.settings.max_output_tokens
    }

    /// Whether the caller asked for usage at the end of a stream.
    #[must_use]
    pub const fn include_usage(&self) -> bool {
        self.settings.include_usage
    }
}

fn broken(body: &[u8], offset: usize, what: &str) -> GatewayError {
    let (line, column) = line_column(body, offset);
    GatewayError::new(
        ErrorKind::InvalidJson,
        format!("the body holds {what} at line {line}, column {column}"),
    )
}

fn refused(body: &[u8], fault: Fault, limits: &ParseLimits) -> GatewayError {
    match fault {
        Fault::Syntax(at) if at >= body.len() => broken(body, at, "JSON that ends too early"),
        Fault::Syntax(at) => broken(body, at, "something that is not JSON"),
        Fault::DuplicateKey(at) => broken(body, at, "a key for the second time in one object"),
        Fault::TooDeep(at) => broken(
            body,
            at,
            &format!("JSON nested deeper than {} levels", limits.depth_max),
        ),
        Fault::TooMany(at) => broken(
            body,
            at,
            &format!("more than {} JSON values", limits.values_max),
        ),
        Fault::TooLong => {
            GatewayError::new(ErrorKind::BodyTooLarge, "the body is larger than 4 GiB")
        }
    }
}

/// Both from 1; columns count characters.
fn line_column(body: &[u8], offset: usize) -> (usize, usize) {
    let before = &body[..offset.min(body.len())];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    // Continuation bytes do not start a character.
    let column = before[line_start..]
        .iter()
        .filter(|byte| (**byte & 0xc0) != 0x80)
        .count()
        + 1;
    (line, column)
}

/// The place of a field, written out only where it is told.
type Place<'a> = std::fmt::Arguments<'a>;

/// A field with a wrong value; `param` names it.
fn invalid(param: impl Display, wanted: &str) -> GatewayError {
    GatewayError::new(
        ErrorKind::InvalidField,
        format!("`{param}` must be {wanted}"),
    )
    .with_param(param.to_string())
}

struct Checker<'l> {
    limits: &'l ParseLimits,
}

impl Checker<'_> {
    fn request(&self, root: Node<'_>) -> Result<Settings, GatewayError> {
        if root.kind() != Kind::Object {
            return Err(GatewayError::new(
                ErrorKind::InvalidJson,
                "the body is not a JSON object",
            ));
        }
        let model = root
            .some("model")
            .ok_or_else(|| invalid("model", "given"))?;
        let model = model.string().filter(|model| !model.is_empty());
        let model = model.ok_or_else(|| invalid("model", "a non-empty string"))?;
        self.messages(root)?;
        self.tools(root)?;
        let count = |key: &str| {
            let wanted = "a whole number, not negative";
            root.some(key)
                .map(|value| value.integer().ok_or_else(|| invalid(key, wanted)))
                .transpose()
        };
        let choices_max = self.limits.choices_max;
        let choices = count("n")?.unwrap_or(1);
        let choices = u32::try_from(choices)
            .ok()
            .filter(|choices| (1..=choices_max).contains(choices));
        let choices = choices
            .ok_or_else(|| invalid("n", &format!("a whole number from 1 to {choices_max}")))?;
        if let Some(temperature) = root.some("temperature") {
            temperature
                .number()
                .ok_or_else(|| invalid("temperature", "a number"))?;
        }
        if root
            .some("response_format")
            .is_some_and(|format| format.kind() != Kind::Object)
        {
            return Err(invalid("response_format", "an object"));
        }
        let (completion, all) = (count("max_completion_tokens")?, count("max_tokens")?);
        // Both are forwarded, and which of two a provider obeys nobody can tell.
        if let (Some(completion), Some(all)) = (completion, all)
            && completion != all
        {
            let wanted = "left out, or the same as `max_completion_tokens`";
            return Err(invalid("max_tokens", wanted));
        }
        let options = root.some("stream_options");
        if options.is_some_and(|options| options.kind() != Kind::Object) {
            return Err(invalid("stream_options", "an object"));
        }
        let include_usage = options.map_or(Ok(false), |options| {
            flag(options, "include_usage", "stream_options.include_usage")
        })?;
        Ok(Settings {
            model: model.into_owned(),
            streaming: flag(root, "stream", "stream")?,
            user: optional_string(root, "user", "user")?.map(Cow::into_owned),
            choices,
            max_output_tokens: completion.or(all),
            include_usage,
        })
    }

    fn messages(&self, root: Node<'_>) -> Result<(), GatewayError> {
        let messages = root
            .some("messages")
            .ok_or_else(|| invalid("messages", "given"))?;
        if messages.kind() != Kind::Array {
            return Err(invalid("messages", "a list"));
        }
        let mut count = 0;
        for (index, message) in messages.items().enumerate() {
            if index >= self.limits.messages_max {
                return Err(invalid(
                    "messages",
                    &format!("at most {} messages", self.limits.messages_max),
                ));
            }
            self.message(message, format_args!("messages[{index}]"))?;
            count += 1;
        }
        if count == 0 {
            return Err(invalid("messages", "a list of at least one message"));
        }
        Ok(())
    }

    fn message(&self, message: Node<'_>, at: Place<'_>) -> Result<(), GatewayError> {
        if message.kind() != Kind::Object {
            return Err(invalid(at, "an object"));
        }
        let role = required_string(message, "role", format_args!("{at}.role"))?;
        let known = [
            "system",
            "developer",
            "user",
            "assistant",
            "tool",
            "function",
        ];
        if !known.contains(&&*role) {
            return Err(invalid(
                format_args!("{at}.role"),
                &format!("one of {}", known.join(", ")),
            ));
        }
        let content_at = format_args!("{at}.content");
        match message.some("content") {
            // An assistant may say nothing but call tools; a function may return nothing.
            None if matches!(&*role, "assistant" | "function") => {}
            None => return Err(invalid(content_at, "a string or a list of parts")),
            Some(content) => Self::content(content, content_at)?,
        }
        for key in [
            "name",
            "refusal",
            "tool_call_id",
            "reasoning_content",
            "reasoning",
        ] {
            optional_string(message, key, format_args!("{at}.{key}"))?;
        }
        if let Some(calls) = message.some("tool_calls") {
            let calls_at = format_args!("{at}.tool_calls");
            if calls.kind() != Kind::Array {
                return Err(invalid(calls_at, "a list"));
            }
            for (index, call) in calls.items().enumerate() {
                Self::tool_call(call, format_args!("{calls_at}[{index}]"))?;
            }
        }
        if let Some(call) = message.some("function_call") {
            Self::function(call, format_args!("{at}.function_call"))?;
        }
        Ok(())
    }

    fn content(content: Node<'_>, at: Place<'_>) -> Result<(), GatewayError> {
        match content.kind() {
            Kind::String => Ok(()),
            Kind::Array => content
                .items()
                .enumerate()
                .try_for_each(|(index, part)| Self::part(part, format_args!("{at}[{index}]"))),
            _ => Err(invalid(at, "a string or a list of parts")),
        }
    }

    fn part(part: Node<'_>, at: Place<'_>) -> Result<(), GatewayError> {
        if part.kind() != Kind::Object {
            return Err(invalid(at, "an object"));
        }
        let kind = required_string(part, "type", format_args!("{at}.type"))?;
        match &*kind {
            "text" | "refusal" => {
                required_string(part, &kind, format_args!("{at}.{kind}")).map(drop)
            }
            "image_url" => {
                let image_at = format_args!("{at}.image_url");
                match part.some("image_url") {
                    Some(image) if image.kind() == Kind::String => Ok(()),
                    Some(image) if image.kind() == Kind::Object => {
                        required_string(image, "url", format_args!("{image_at}.url")).map(drop)
                    }
                    _ => Err(invalid(image_at, "an object with `url`")),
                }
            }
            "input_audio" | "file" => match part.some(&kind) {
                Some(media) if media.kind() == Kind::Object => Ok(()),
                _ => Err(invalid(format_args!("{at}.{kind}"), "an object")),
            },
            // Other kinds pass; their strings are shown to guards.
            _ => Ok(()),
        }
    }

    fn tool_call(call: Node<'_>, at: Place<'_>) -> Result<(), GatewayError> {
        if call.kind() != Kind::Object {
            return Err(invalid(at, "an object"));
        }
        optional_string(call, "id", format_args!("{at}.id"))?;
        if let Some(custom) = call.some("custom") {
            if custom.kind() != Kind::Object {
                return Err(invalid(format_args!("{at}.custom"), "an object"));
            }
            required_string(custom, "name", format_args!("{at}.custom.name"))?;
            return required_string(custom, "input", format_args!("{at}.custom.input")).map(drop);
        }
        let function_at = format_args!("{at}.function");
        let function = call
            .some("function")
            .ok_or_else(|| invalid(function_at, "given"))?;
        Self::function(function, function_at)
    }

    fn function(function: Node<'_>, at: Place<'_>) -> Result<(), GatewayError> {
        if function.kind() != Kind::Object {
            return Err(invalid(at, "an object"));
        }
        required_string(function, "name", format_args!("{at}.name"))?;
        optional_string(function, "arguments", format_args!("{at}.arguments")).map(drop)
    }

    fn tools(&self, root: Node<'_>) -> Result<(), GatewayError> {
        for key in ["tools", "functions"] {
            let Some(tools) = root.some(key) else {
                continue;
            };
            if tools.kind() != Kind::Array {
                return Err(invalid(key, "a list"));
            }
            for (index, tool) in tools.items().enumerate() {
                if index >= self.limits.tools_max {
                    return Err(invalid(
                        key,
                        &format!("at most {} tools", self.limits.tools_max),
                    ));
                }
                let at = format_args!("{key}[{index}]");
                if tool.kind() != Kind::Object {
                    return Err(invalid(at, "an object"));
                }
                let kind = optional_string(tool, "type", format_args!("{at}.type"))?;
                let inner = match kind.as_deref() {
                    Some("custom") => Some("custom"),
                    Some("function") => Some("function"),
                    // A provider's own tool: nothing in it is known to have a name.
                    Some(_) => continue,
                    None if key == "tools" => Some("function"),
                    None => None,
                };
                match inner {
                    None => Self::tool(tool, at)?,
                    Some(inner) => {
                        let at = format_args!("{at}.{inner}");
                        let tool = tool.some(inner).ok_or_else(|| invalid(at, "an object"))?;
                        Self::tool(tool, at)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn tool(tool: Node<'_>, at: Place<'_>) -> Result<(), GatewayError> {
        if tool.kind() != Kind::Object {
            return Err(invalid(at, "an object"));
        }
        required_string(tool, "name", format_args!("{at}.name"))?;
        optional_string(tool, "description", format_args!("{at}.description")).map(drop)
    }
}

fn required_string<'a>(
    object: Node<'a>,
    key: &str,
    param: impl Display,
) -> Result<Cow<'a, str>, GatewayError> {
    optional_string(object, key, &param)?.ok_or_else(|| invalid(param, "a string"))
}

fn optional_string<'a>(
    object: Node<'a>,
    key: &str,
    param: impl Display,
) -> Result<Option<Cow<'a, str>>, GatewayError> {
    match object.some(key) {
        None => Ok(None),
        Some(value) => match value.string() {
            Some(text) => Ok(Some(text)),
            None => Err(invalid(param, "a string")),
        },
    }
}

fn flag(object: Node<'_>, key: &str, param: impl Display) -> Result<bool, GatewayError> {
    object.some(key).map_or(Ok(false), |value| {
        value.flag().ok_or_else(|| invalid(param, "true or false"))
    })
}
