//! The in-tree engine process: an OpenAI-compatible server for local models.

fn main() {}
