//! Mechanical house rules, as tests.
