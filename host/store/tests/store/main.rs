//! Control state from outside: what survives, what is mended, what is refused.

mod backup;
mod blobs;
mod changes;
mod commits;
mod crash;
mod disk;
mod journal;
mod owner;
mod shelf;
