//! End-to-end tests: real gateway, real fake provider or engine, from the client's socket. One binary, so that it is
//! linked once; a module a promise.

mod answers;
mod attempts_charged;
mod budgets;
mod cache;
mod cli;
mod control_cli;
mod control_faults;
mod decisions;
mod docs;
mod drain;
mod edits;
mod failover;
mod faults;
mod floor;
mod guards;
mod hostile;
mod http2;
mod idempotency;
mod languages;
mod limits;
mod logs;
mod metrics;
mod openapi;
mod quickstart;
mod records;
mod refusals;
mod sdk;
mod secrets;
mod smuggling;
mod startup;
mod streams;
mod tls;
mod traces;
mod transport;
mod upgrade;
