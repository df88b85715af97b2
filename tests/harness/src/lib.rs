//! Real servers on free ports with their own state, for tests.
