//! Logs and metrics, named once.
