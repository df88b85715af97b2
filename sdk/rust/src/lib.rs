//! Write Pointsman plugins in Rust: bindings, export macros, a native test bench.
