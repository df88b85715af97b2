//! The control listener: health, readiness, metrics, decisions.
