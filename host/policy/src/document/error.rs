//! An error of a document: one type that prints itself whole and is a miette diagnostic too.

use std::fmt;
use std::ops::Range;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode, SourceSpan};

use super::conceal::conceal;
use crate::nearest::{listed, nearest};

/// Characters of a source line that are shown.
const LINE_CHARS_MAX: usize = 120;
/// Known keys that are listed; more would bury the message.
const KEYS_LISTED_MAX: usize = 16;

/// What is wrong with a document, and where. `Display` holds place, message, source line and help.
#[derive(Debug)]
pub struct DocumentError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    /// With what may be a secret masked.
    source: NamedSource<String>,
    span: Option<Range<usize>>,
    line: usize,
    column: usize,
    message: String,
    help: Option<String>,
}

impl DocumentError {
    pub(crate) fn new(name: &str, text: &str, span: Option<Range<usize>>, message: &str) -> Self {
        let (message, help) = explain(message);
        let text = conceal(text);
        let span = span.map(|span| within(&text, span));
        let (line, column) = span
            .as_ref()
            .map_or((0, 0), |span| line_and_column(&text, span.start));
        Self(Box::new(Inner {
            name: name.to_owned(),
            source: NamedSource::new(name, text),
            span,
            line,
            column,
            message,
            help,
        }))
    }

    /// An error about a whole line, counted from 1.
    pub(crate) fn at_line(name: &str, text: &str, line: usize, message: &str) -> Self {
        let start: usize = text
            .split_inclusive('\n')
            .take(line.saturating_sub(1))
            .map(str::len)
            .sum();
        let end = text[start..]
            .find('\n')
            .map_or(text.len(), |len| start + len);
        Self::new(name, text, Some(start..end), message)
    }

    /// What is wrong: a lowercase fragment.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Line from 1; 0 where the whole document is meant.
    #[must_use]
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// Column from 1, in characters; 0 where the whole document is meant.
    #[must_use]
    pub fn column(&self) -> usize {
        self.0.column
    }

    /// The error as text of several lines; the same as its `Display`.
    #[must_use]
    pub fn render(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{}:", inner.name)?;
        if let Some(span) = &inner.span {
            write!(f, "{}:{}: {}", inner.line, inner.column, inner.message)?;
            snippet(f, inner, span)?;
        } else {
            write!(f, " {}", inner.message)?;
        }
        match &inner.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

fn snippet(f: &mut fmt::Formatter<'_>, inner: &Inner, span: &Range<usize>) -> fmt::Result {
    let text = inner.source.inner();
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[start..]
        .split('\n')
        .next()
        .unwrap_or_default()
        .trim_end_matches('\r');
    let before = inner.column - 1;
    // A long line is shown from where the culprit can still be seen.
    let skipped = (before + LINE_CHARS_MAX / 3).saturating_sub(LINE_CHARS_MAX);
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = line
        .chars()
        .skip(skipped)
        .take(LINE_CHARS_MAX)
        .map(printable)
        .collect();
    let marked = text[span.clone()]
        .split('\n')
        .next()
        .unwrap_or_default()
        .trim_end()
        .chars()
        .count();
    let room = shown.chars().count().saturating_sub(before - skipped);
    let carets = "^".repeat(marked.min(room).max(1));
    let number = inner.line.to_string();
    let gutter = " ".repeat(number.len());
    write!(
        f,
        "\n {gutter} |\n {number} | {shown}\n {gutter} | {}{carets}",
        " ".repeat(before - skipped)
    )
}

impl std::error::Error for DocumentError {}

impl Diagnostic for DocumentError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0
            .help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.0.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.0.span.clone()?;
        let label = LabeledSpan::new_primary_with_span(
            Some(self.0.message.clone()),
            SourceSpan::from(span),
        );
        Some(Box::new(std::iter::once(label)))
    }
}

/// serde's words in ours, and what to do about them.
fn explain(message: &str) -> (String, Option<String>) {
    if let Some((key, known)) = unknown(message, "unknown field `") {
        let suggestion =
            nearest(key, known.iter().copied()).map(|key| format!("did you mean `{key}`?"));
        let all = match listed(known.iter().copied(), KEYS_LISTED_MAX) {
            Some(list) => Some(format!("known here: {list}")),
            None if known.is_empty() => Some("no keys are known here".to_owned()),
            None => None,
        };
        let help = [suggestion, all]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        return (
            format!("unknown key `{}`", clip(key)),
            (!help.is_empty()).then_some(help),
        );
    }
    if let Some(rest) = message.strip_prefix("missing field `") {
        return (
            format!("the key `{}` is missing", rest.trim_end_matches('`')),
            None,
        );
    }
    (message.trim().replace('\n', " "), None)
}

/// The culprit and the known words of serde's "unknown … `x`, expected one of `a`, `b`".
fn unknown<'a>(message: &'a str, prefix: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let rest = message.strip_prefix(prefix)?;
    if let Some((key, _)) = rest.split_once("`, there are no fields") {
        return Some((key, Vec::new()));
    }
    let (key, list) = rest.rsplit_once("`, expected ")?;
    Some((key, list.split('`').skip(1).step_by(2).collect()))
}

fn clip(key: &str) -> &str {
    &key[..key.floor_char_boundary(64)]
}

/// The span on UTF-8 borders within the text.
fn within(text: &str, span: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
    start..end
}

/// Both from 1; columns in characters.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before[start..].chars().count() + 1)
}
