//! The decision log from outside: what survives, what is found, what is refused.

mod content;
mod crash;
mod damage;
mod links;
mod reading;
mod records;
mod sums;
mod writing;
