//! Where guardable text stands in a request: what guards see, and where their edits go.

use std::borrow::Cow;
use std::ops::Range;

use pointsman_domain::request::Segment;

use super::arguments::leaves;
use super::request::ChatRequest;
use crate::json::{Kind, Limits, Node, push_key};

/// Message index of text outside messages.
const OUTSIDE: u32 = u32::MAX;

/// Message fields that hold no text of their own or are read by name below.
const KNOWN_FIELDS: [&str; 11] = [
    "role",
    "content",
    "name",
    "refusal",
    "tool_calls",
    "function_call",
    "tool_call_id",
    "reasoning_content",
    "reasoning",
    "audio",
    "cache_control",
];

/// Where a segment's text is spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Between the quotes of a string of the body.
    String(Range<usize>),
    /// Inside the JSON text that a string of the body carries.
    Leaf {
        /// Between the quotes of that string, in the body.
        carrier: Range<usize>,
        /// In the decoded JSON text.
        inner: Range<usize>,
        is_number: bool,
    },
}

/// A segment and its place.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) segment: Segment,
    pub(super) place: Place,
}

/// All guardable text: message by message, then what stands outside messages.
pub(super) fn find(request: &ChatRequest) -> Vec<Found> {
    let text = request.text();
    let root = request.root(text);
    let mut finder = Finder {
        limits: Limits {
            depth_max: request.limits.depth_max,
            values_max: request.limits.values_max,
        },
        found: Vec::new(),
        message: 0,
        part: 0,
        role: Cow::Borrowed("user"),
    };
    for (index, message) in root
        .get("messages")
        .into_iter()
        .flat_map(Node::items)
        .enumerate()
    {
        finder.message = u32::try_from(index).unwrap_or(OUTSIDE);
        finder.message(message);
    }
    finder.message = OUTSIDE;
    finder.outside(root);
    finder.found
}

/// A part in the order in which `find` and the view number them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// `content` as a string.
    Text(Node<'a>),
    /// An item of `content`.
    Item(Node<'a>),
    Refusal(Node<'a>),
    Reasoning(Node<'a>),
    /// An item of `tool_calls`.
    ToolCall(Node<'a>),
    /// The older `function_call`.
    FunctionCall(Node<'a>),
}

/// The parts of a message.
pub(super) fn parts(message: Node<'_>) -> Vec<Part<'_>> {
    let mut all = Vec::new();
    for key in ["reasoning_content", "reasoning"] {
        all.extend(message.some(key).map(Part::Reasoning));
    }
    match message.some("content") {
        Some(content) if content.kind() == Kind::String => all.push(Part::Text(content)),
        Some(content) => all.extend(content.items().map(Part::Item)),
        None => {}
    }
    all.extend(message.some("refusal").map(Part::Refusal));
    all.extend(
        message
            .some("tool_calls")
            .into_iter()
            .flat_map(Node::items)
            .map(Part::ToolCall),
    );
    all.extend(message.some("function_call").map(Part::FunctionCall));
    all
}

/// Name and arguments of a call, whichever shape it has; the flag says whether the arguments are JSON.
pub(super) fn call_fields<'a>(
    part: &Part<'a>,
) -> Option<(Option<Node<'a>>, Option<Node<'a>>, bool)> {
    let function = match *part {
        Part::FunctionCall(call) => call,
        Part::ToolCall(call) => match (call.some("function"), call.some("custom")) {
            (Some(function), _) => function,
            (None, Some(custom)) => {
                return Some((custom.some("name"), custom.some("input"), false));
            }
            (None, None) => return None,
        },
        Part::Text(_) | Part::Item(_) | Part::Refusal(_) | Part::Reasoning(_) => return None,
    };
    Some((function.some("name"), function.some("arguments"), true))
}

struct Finder {
    limits: Limits,
    found: Vec<Found>,
    message: u32,
    part: u32,
    role: Cow<'static, str>,
}

impl Finder {
    fn message(&mut self, message: Node<'_>) {
        self.role = role(message);
        let text_kind = match &*self.role {
            "tool" | "function" => "tool-result",
            _ => "text",
        };
        for (index, part) in parts(message).iter().enumerate() {
            self.part = u32::try_from(index).unwrap_or(u32::MAX);
            match part {
                Part::Text(text) => self.string(text_kind, String::new(), Some(*text)),
                Part::Refusal(text) => self.string("refusal", String::new(), Some(*text)),
                Part::Reasoning(text) => self.string("reasoning", String::new(), Some(*text)),
                Part::Item(item) => self.item(*item, text_kind),
                Part::ToolCall(_) | Part::FunctionCall(_) => self.call(part),
            }
        }
        self.part = 0;
        self.string("name", String::new(), message.some("name"));
        for (key, value) in message.members() {
            let key = key.string().unwrap_or_default();
            if !KNOWN_FIELDS.contains(&&*key) {
                self.strings("other", &mut pointer(&key), value);
            }
        }
    }

    fn item(&mut self, item: Node<'_>, text_kind: &'static str) {
        match item.some("type").and_then(Node::string).as_deref() {
            Some("text") => self.string(text_kind, String::new(), item.some("text")),
            Some("refusal") => self.string("refusal", String::new(), item.some("refusal")),
            Some("image_url" | "input_audio") => {}
            Some("file") => {
                let name = item.some("file").and_then(|file| file.some("filename"));
                self.string("name", "/file/filename".to_owned(), name);
            }
            _ => {
                for (key, value) in item.members() {
                    let key = key.string().unwrap_or_default();
                    if key != "type" {
                        self.strings("other", &mut pointer(&key), value);
                    }
                }
            }
        }
    }

    fn call(&mut self, part: &Part<'_>) {
        let Some((_, Some(arguments), is_json)) = call_fields(part) else {
            return;
        };
        let text = arguments.string().unwrap_or_default();
        let leaves = if is_json {
            leaves(&text, self.limits)
        } else {
            None
        };
        match leaves {
            // Not JSON: guarded as one text.
            None => self.string("tool-argument", String::new(), Some(arguments)),
            Some(leaves) => {
                for leaf in leaves {
                    let place = Place::Leaf {
                        carrier: arguments.inner(),
                        inner: leaf.range,
                        is_number: leaf.is_number,
                    };
                    self.push("tool-argument", leaf.path, leaf.text, place);
                }
            }
        }
    }

    fn outside(&mut self, root: Node<'_>) {
        self.role = Cow::Borrowed("tool");
        self.part = 0;
        for (_, tool) in tools(root) {
            let name = tool.some("name").and_then(Node::string).unwrap_or_default();
            self.string(
                "tool-description",
                name.into_owned(),
                tool.some("description"),
            );
        }
        self.role = Cow::Borrowed("user");
        // Predicted output travels to the model as text of its own.
        let Some(content) = root
            .some("prediction")
            .and_then(|prediction| prediction.some("content"))
        else {
            return;
        };
        self.strings("prediction", &mut String::new(), content);
    }

    /// Every string of a value that the dialect does not name.
    fn strings(&mut self, kind: &'static str, path: &mut String, node: Node<'_>) {
        let length = path.len();
        match node.kind() {
            Kind::String => self.string(kind, path.clone(), Some(node)),
            Kind::Array => {
                for (index, item) in node.items().enumerate() {
                    path.push_str(&format!("/{index}"));
                    self.strings(kind, path, item);
                    path.truncate(length);
                }
            }
            Kind::Object => {
                for (key, value) in node.members() {
                    push_key(path, &key.string().unwrap_or_default());
                    self.strings(kind, path, value);
                    path.truncate(length);
                }
            }
            Kind::Number | Kind::True | Kind::False | Kind::Null => {}
        }
    }

    fn string(&mut self, kind: &'static str, path: String, node: Option<Node<'_>>) {
        let Some(node) = node else { return };
        if let Some(text) = node.string().filter(|text| !text.is_empty()) {
            self.push(kind, path, text.into_owned(), Place::String(node.inner()));
        }
    }

    fn push(&mut self, kind: &'static str, path: String, text: String, place: Place) {
        let segment = Segment {
            message: self.message,
            part: self.part,
            role: self.role.clone(),
            kind: Cow::Borrowed(kind),
            path,
            text,
        };
        self.found.push(Found { segment, place });
    }
}

fn pointer(key: &str) -> String {
    let mut path = String::new();
    push_key(&mut path, key);
    path
}

/// A message's role; `parse` admits these alone.
pub(super) fn role(message: Node<'_>) -> Cow<'static, str> {
    let known = [
        "system",
        "developer",
        "user",
        "assistant",
        "tool",
        "function",
    ];
    let role = message
        .some("role")
        .and_then(Node::string)
        .unwrap_or_default();
    Cow::Borrowed(
        known
            .into_iter()
            .find(|known| *known == role)
            .unwrap_or("user"),
    )
}

/// Offered tools: the list's item and the object that holds name, description and schema.
pub(super) fn tools(root: Node<'_>) -> impl Iterator<Item = (Node<'_>, Node<'_>)> {
    let list = move |key: &str| root.some(key).into_iter().flat_map(Node::items);
    list("tools").chain(list("functions")).map(|tool| {
        let inner = tool.some("function").or_else(|| tool.some("custom"));
        (tool, inner.unwrap_or(tool))
    })
}
