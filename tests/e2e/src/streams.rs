//! Streams through response guards: random ones through the release engine alone, and a matrix through a real gateway.
//!
//! Either way what a client can put together is compared with the masked whole, and every random stream has a seed that
//! makes it again.

mod case;
pub mod client;
pub mod guards;
pub mod matrix;
pub mod property;
pub mod random;
pub mod shapes;
