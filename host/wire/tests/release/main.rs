//! Nothing leaves unguarded, nothing unguarded changes: the release engine from outside.

mod client;
mod facts;
mod guards;
mod properties;
mod whole;
