//! Load generator, mock upstream and benchmarks.
