//! The decision log: append, chain, verify and read.
