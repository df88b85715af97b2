//! JSON by position: where each value of a text stands, so that one of them can be replaced and all others keep
//! their spelling. Knows no dialect.

mod pointer;
mod splice;
mod tape;
mod text;

pub(crate) use pointer::push_key;
pub(crate) use splice::Splice;
pub(crate) use tape::{Fault, Kind, Limits, Node, Tape};
pub(crate) use text::{Borders, escape, escape_into, pair, unescape};
