//! End-to-end tests from the client's socket.
