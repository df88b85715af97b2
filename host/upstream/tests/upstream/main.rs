//! The client side over real sockets on loopback.

mod connections;
mod egress;
mod failures;
mod server;
mod tls;
