//! House chores: up, down, test, bench, prove, model.

fn main() {}
