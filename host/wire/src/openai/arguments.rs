//! JSON that travels inside a string: the leaves of tool arguments.

use std::ops::Range;

use crate::json::{Kind, Limits, Node, Tape, escape_into, push_key};

/// A string, number or key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// JSON pointer; a key's is its member's and `#key`.
    pub(super) path: String,
    /// The decoded text.
    pub(super) text: String,
    /// Where it is spelled in the arguments: between the quotes, or the number.
    pub(super) range: Range<usize>,
    /// Without quotes, so that another text in its place needs them.
    pub(super) is_number: bool,
}

/// The leaves in document order; none where the text is no JSON.
pub(super) fn leaves(arguments: &str, limits: Limits) -> Option<Vec<Leaf>> {
    let tape = Tape::parse(arguments, limits).ok()?;
    let mut found = Vec::new();
    collect(tape.root(arguments), &mut String::new(), &mut found);
    Some(found)
}

/// Recursion is bounded by the depth that `Tape::parse` admits.
fn collect(node: Node<'_>, path: &mut String, found: &mut Vec<Leaf>) {
    match node.kind() {
        Kind::String => found.push(string_leaf(node, path.clone())),
        Kind::Number => found.push(Leaf {
            path: path.clone(),
            text: node.raw().to_owned(),
            range: node.range(),
            is_number: true,
        }),
        Kind::Array => {
            let length = path.len();
            for (index, item) in node.items().enumerate() {
                path.push_str(&format!("/{index}"));
                collect(item, path, found);
                path.truncate(length);
            }
        }
        Kind::Object => {
            let length = path.len();
            for (key, value) in node.members() {
                push_key(path, &key.string().unwrap_or_default());
                found.push(string_leaf(key, format!("{path}#key")));
                collect(value, path, found);
                path.truncate(length);
            }
        }
        Kind::True | Kind::False | Kind::Null => {}
    }
}

fn string_leaf(node: Node<'_>, path: String) -> Leaf {
    Leaf {
        path,
        text: node.string().unwrap_or_default().into_owned(),
        range: node.inner(),
        is_number: false,
    }
}

/// How an edited leaf is spelled in the arguments.
pub(super) fn spell(text: &str, is_number: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    if is_number {
        out.push('"');
    }
    escape_into(&mut out, text);
    if is_number {
        out.push('"');
    }
    out
}
