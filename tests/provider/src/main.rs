//! The one fake provider of the tests: scripts, recordings and a ledger.

fn main() {}
