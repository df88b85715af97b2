//! Misbehaving plugins for the fault tests.
