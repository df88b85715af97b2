//! A request guard's edits, made by position.

use bytes::Bytes;
use pointsman_domain::Value;
use pointsman_domain::request::{Edit, TextEdit};
use pointsman_domain::value::Attribute;

use super::arguments::spell;
use super::request::ChatRequest;
use super::segments::{Found, Place, find, tools};
use crate::json::{Borders, Node, Splice, escape, unescape};

/// Why edits cannot be made; none of them was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Text edits must rise by segment and start and must not overlap.
    #[error(
        "text edits are out of order or overlap at segment {segment}; sort them by segment and start"
    )]
    Order {
        /// The later edit's segment.
        segment: u32,
    },
    /// The segment does not exist.
    #[error("segment {segment} does not exist; the request has {count}")]
    UnknownSegment {
        /// As asked for.
        segment: u32,
        /// How many there are.
        count: usize,
    },
    /// The range ends past the text, before its start, or inside a character.
    #[error("bytes {start}..{end} of segment {segment} are no range on UTF-8 borders")]
    Range {
        /// The segment.
        segment: u32,
        /// First byte.
        start: u32,
        /// Byte after the last.
        end: u32,
    },
    /// No such setting.
    #[error(
        "setting `{0}` is unknown; max-output-tokens, temperature, remove-tool and prepend-system can be set"
    )]
    UnknownSetting(String),
    /// The value does not fit the setting.
    #[error("setting `{0}` has a value of the wrong type or out of range")]
    SettingValue(&'static str),
    /// The tool is not among those offered.
    #[error("remove-tool names a tool that the request does not offer")]
    UnknownTool,
    /// The edited body is refused by the checks that every request passes.
    #[error("the edited request is invalid: {0}")]
    Invalid(String),
}

impl ChatRequest {
    /// The request with these edits; text edits first, then settings in order.
    ///
    /// # Errors
    /// When an edit does not fit the request; the request is then unchanged.
    pub fn edit(&self, edits: &[Edit]) -> Result<Self, EditError> {
        let text_edits = edits.iter().filter_map(|edit| match edit {
            Edit::Text(edit) => Some(edit),
            Edit::Set(_) => None,
        });
        let text_edits: Vec<&TextEdit> = text_edits.collect();
        let mut edited = self.clone();
        if !text_edits.is_empty() {
            edited = edited.edit_text(&text_edits)?;
        }
        for edit in edits {
            if let Edit::Set(setting) = edit {
                edited = edited.set(setting)?;
            }
        }
        Ok(edited)
    }

    fn with_splice(&self, mut splice: Splice) -> Result<Self, EditError> {
        let text = self.text();
        let body = splice.apply(text, 0..text.len());
        Self::parse(Bytes::from(body), &self.limits)
            .map_err(|error| EditError::Invalid(error.message))
    }

    fn edit_text(&self, edits: &[&TextEdit]) -> Result<Self, EditError> {
        let found = find(self);
        check(edits, &found)?;
        let text = self.text();
        let mut splice = Splice::default();
        // Edits of one segment stand together, and so do segments of one carrier.
        for group in edits.chunk_by(|a, b| a.segment == b.segment) {
            match &found[group[0].segment as usize].place {
                Place::String(range) => {
                    let mut borders = Borders::new(&text[range.clone()]);
                    for edit in group {
                        let raw =
                            raw_range(&mut borders, edit.start as usize, edit.end as usize, edit)?;
                        splice.replace(
                            range.start + raw.start..range.start + raw.end,
                            escape(&edit.text),
                        );
                    }
                }
                Place::Leaf { .. } => {}
            }
        }
        let is_leaf =
            |edit: &&TextEdit| matches!(found[edit.segment as usize].place, Place::Leaf { .. });
        let leaf_edits: Vec<&TextEdit> = edits.iter().copied().filter(is_leaf).collect();
        for group in leaf_edits.chunk_by(|a, b| carrier(&found, a) == carrier(&found, b)) {
            edit_carrier(text, &found, group, &mut splice)?;
        }
        self.with_splice(splice)
    }

    fn set(&self, setting: &Attribute) -> Result<Self, EditError> {
        let text = self.text();
        let root = self.root(text);
        let mut splice = Splice::default();
        match setting.key.as_str() {
            "max-output-tokens" => {
                let tokens = setting.value.as_integer().filter(|tokens| *tokens >= 0);
                let tokens = tokens
                    .ok_or(EditError::SettingValue("max-output-tokens"))?
                    .to_string();
                let keys = ["max_completion_tokens", "max_tokens"];
                let mut present = keys
                    .into_iter()
                    .filter(|key| root.some(key).is_some())
                    .peekable();
                if present.peek().is_none() {
                    splice.set(root, keys[0], &tokens);
                }
                present.for_each(|key| splice.set(root, key, &tokens));
            }
            "temperature" => {
                let temperature =
                    temperature(&setting.value).ok_or(EditError::SettingValue("temperature"))?;
                splice.set(root, "temperature", &temperature);
            }
            "remove-tool" => match &setting.value {
                Value::Text(name) => remove_tools(root, std::slice::from_ref(name), &mut splice)?,
                Value::Texts(names) => remove_tools(root, names, &mut splice)?,
                Value::Integer(_) | Value::Number(_) | Value::Flag(_) => {
                    return Err(EditError::SettingValue("remove-tool"));
                }
            },
            "prepend-system" => {
                let system = setting
                    .value
                    .as_text()
                    .ok_or(EditError::SettingValue("prepend-system"))?;
                // `parse` admits no request without messages.
                let messages = root
                    .get("messages")
                    .ok_or(EditError::SettingValue("prepend-system"))?;
                let at = messages.inner().start;
                splice.replace(
                    at..at,
                    format!(r#"{{"role":"system","content":"{}"}},"#, escape(system)),
                );
            }
            unknown => return Err(EditError::UnknownSetting(super::error::clip(unknown, 64))),
        }
        self.with_splice(splice)
    }
}

fn check(edits: &[&TextEdit], found: &[Found]) -> Result<(), EditError> {
    let mut before: Option<&TextEdit> = None;
    for &edit in edits {
        let segment = edit.segment;
        if let Some(before) = before {
            let rises =
                (before.segment, before.end) <= (segment, edit.start) || before.segment < segment;
            if !rises {
                return Err(EditError::Order { segment });
            }
        }
        let count = found.len();
        let text = found
            .get(segment as usize)
            .ok_or(EditError::UnknownSegment { segment, count })?;
        if text
            .segment
            .text
            .get(edit.start as usize..edit.end as usize)
            .is_none()
        {
            return Err(EditError::Range {
                segment,
                start: edit.start,
                end: edit.end,
            });
        }
        before = Some(edit);
    }
    Ok(())
}

fn carrier<'f>(found: &'f [Found], edit: &TextEdit) -> Option<&'f std::ops::Range<usize>> {
    match &found[edit.segment as usize].place {
        Place::Leaf { carrier, .. } => Some(carrier),
        Place::String(_) => None,
    }
}

/// Maps a range of decoded text to its spelling.
fn raw_range(
    borders: &mut Borders<'_>,
    start: usize,
    end: usize,
    edit: &TextEdit,
) -> Result<std::ops::Range<usize>, EditError> {
    let mut border = |offset| {
        borders.raw_offset(offset).ok_or(EditError::Range {
            segment: edit.segment,
            start: edit.start,
            end: edit.end,
        })
    };
    Ok(border(start)?..border(end)?)
}

/// Edits of leaves in one JSON text that a string carries: spelled twice, once for each level.
fn edit_carrier(
    text: &str,
    found: &[Found],
    edits: &[&TextEdit],
    splice: &mut Splice,
) -> Result<(), EditError> {
    let Some(carrier) = edits.first().and_then(|edit| carrier(found, edit)).cloned() else {
        return Ok(());
    };
    let outer = &text[carrier.clone()];
    let arguments = unescape(outer);
    let mut carried = Borders::new(outer);
    for group in edits.chunk_by(|a, b| a.segment == b.segment) {
        let Found {
            segment,
            place: Place::Leaf {
                inner, is_number, ..
            },
        } = &found[group[0].segment as usize]
        else {
            continue;
        };
        let mut replace = |start: usize, end: usize, new: &str, edit: &TextEdit| {
            let raw = raw_range(&mut carried, start, end, edit)?;
            splice.replace(
                carrier.start + raw.start..carrier.start + raw.end,
                escape(new),
            );
            Ok(())
        };
        if *is_number {
            // A number with another text in it is a number no more: the whole becomes a string.
            let mut new = segment.text.clone();
            for edit in group.iter().rev() {
                new.replace_range(edit.start as usize..edit.end as usize, &edit.text);
            }
            replace(inner.start, inner.end, &spell(&new, true), group[0])?;
            continue;
        }
        let mut borders = Borders::new(&arguments[inner.clone()]);
        for edit in group {
            let leaf = raw_range(&mut borders, edit.start as usize, edit.end as usize, edit)?;
            replace(
                inner.start + leaf.start,
                inner.start + leaf.end,
                &spell(&edit.text, false),
                edit,
            )?;
        }
    }
    Ok(())
}

fn temperature(value: &Value) -> Option<String> {
    match value {
        Value::Integer(integer @ 0..=2) => Some(integer.to_string()),
        Value::Number(number) if (0.0..=2.0).contains(number) => Some(number.to_string()),
        _ => None,
    }
}

fn remove_tools(root: Node<'_>, names: &[String], splice: &mut Splice) -> Result<(), EditError> {
    let named = |tool: Node<'_>| {
        let inner = tool
            .some("function")
            .or_else(|| tool.some("custom"))
            .unwrap_or(tool);
        let name = inner.some("name").and_then(Node::string);
        name.is_some_and(|name| names.iter().any(|gone| *gone == *name))
    };
    let offers = |name: &String| {
        tools(root).any(|(_, tool)| {
            tool.some("name")
                .and_then(Node::string)
                .is_some_and(|n| *n == **name)
        })
    };
    if !names.iter().all(offers) {
        return Err(EditError::UnknownTool);
    }
    let mut dead = Vec::new();
    for (list, choice) in [("tools", "tool_choice"), ("functions", "function_call")] {
        let Some(tools) = root.some(list) else {
            continue;
        };
        // Providers refuse an empty list, and a choice among no tools.
        if tools.items().all(named) {
            dead.extend([list, choice]);
            if list == "tools" {
                dead.push("parallel_tool_calls");
            }
            continue;
        }
        splice.remove(tools, named);
        if root.some(choice).is_some_and(named) {
            dead.push(choice);
        }
    }
    splice.remove(root, |key| {
        key.string().is_some_and(|key| dead.contains(&&*key))
    });
    Ok(())
}
