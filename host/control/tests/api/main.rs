//! The control API over real sockets, against control state in memory. Every answer that the client gets is held against
//! the OpenAPI document: its status is one that the operation may answer, and its body has the schema that it says.

mod bodies;
mod changes;
mod client;
mod conditions;
mod document;
mod fake;
mod faults;
mod reads;
