//! Labels a request with its task, language and complexity.
