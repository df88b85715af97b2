//! One gateway with plugins that try to remember, and with a tenant that does its worst beside one that just works.

pub mod memory;
pub mod noise;
