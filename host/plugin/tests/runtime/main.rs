//! The runtime from outside, with real components: what is refused, what faults look like, what a call may count on.

mod caches;
mod faults;
mod imports;
mod loading;
mod preparing;
mod running;
mod support;
mod versions;
