//! Gives findings their line and column, once the text that they are about is at hand.

use toml_edit::{Document, Item};

use super::error::line_and_column;
use crate::finding::{Finding, Part, Path};

/// Fills in file, line and column. A path whose end is not written points at the closest part that is.
pub fn place(findings: &mut [Finding], name: &str, text: &str) {
    let document = Document::parse(text).ok();
    for finding in findings {
        finding.file = Some(name.to_owned());
        let span = document
            .as_ref()
            .and_then(|document| locate(document.as_item(), &finding.path));
        if let Some((line, column)) = span.map(|start| line_and_column(text, start)) {
            finding.line = Some(line);
            finding.column = Some(column);
        }
    }
}

/// The byte where the deepest part of the path that exists begins: its key, or the element of its array.
fn locate(root: &Item, path: &Path) -> Option<usize> {
    let mut item = root;
    let mut found = None;
    for part in &path.0 {
        let (next, span) = match part {
            Part::Key(key) => {
                let table = item.as_table_like();
                let Some((written, next)) = table.and_then(|table| table.get_key_value(key)) else {
                    break;
                };
                (next, written.span().or_else(|| next.span()))
            }
            Part::Index(index) => {
                let Some(next) = item.get(*index) else { break };
                (next, next.span())
            }
        };
        found = span.map(|span| span.start).or(found);
        item = next;
    }
    found
}
