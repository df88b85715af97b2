//! The plugin runtime: load, verify, snapshot, run, limit and record Wasm components.
