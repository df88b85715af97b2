//! End-to-end tests: real gateway, real fake provider or engine, from the client's socket. One binary, so that it is
//! linked once; a module a promise.

mod answers;
mod cache;
mod cli;
mod decisions;
mod docs;
mod drain;
mod edits;
mod failover;
mod faults;
mod floor;
mod guards;
mod hostile;
mod idempotency;
mod quickstart;
mod records;
mod refusals;
mod sdk;
mod secrets;
mod startup;
mod transport;
