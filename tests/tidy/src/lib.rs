//! Mechanical house rules, as tests over the workspace's metadata and text.
//!
//! Promises: every finding names the place, the rule and its reason, and all findings of a rule are shown at once.
//! Refuses to know: what the code does. Rules: `tests/edges.rs` (who may depend on whom), `tests/sources.rs` (Rust
//! files), `tests/texts.rs` (all text, links, commands).

mod rooms;
mod source;
mod tree;

pub use rooms::{FENCES, Fence, PURE, Room, edge, room_of};
pub use source::{Function, Source, code_of, functions, is_test_file};
pub use tree::{files, read, root, sources, texts};

/// Fails with every finding, one a line.
///
/// # Panics
/// Where there is one: that is what the tests are for.
#[track_caller]
pub fn no_findings(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}\n  {}\n", findings.join("\n  "));
}
