//! Pointsman: the data plane, its life cycle and the command line.

fn main() {}
