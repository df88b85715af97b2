//! Gateways side by side: all are up at once on one core, the load and the provider on another, and turns are short and
//! shuffled, so that whatever disturbs the machine disturbs all of them alike.
//!
//! Promises: CPU time is the kernel's own account of the processes, in nanoseconds; each row has a provider of its own,
//! which counts what reaches it. Refuses to know: what is good enough.

mod cpu;
mod nginx;
mod pointsman;
mod row;
mod turn;

pub use cpu::{Machine, pin_self};
pub use nginx::version as nginx_version;
pub use pointsman::Recorded;
pub use row::{Row, Rows};
pub use turn::{Bodies, Figure, Figures, Kind};

/// The core of load and provider.
pub const LOAD_CORE: usize = 0;
/// The core of the gateways.
pub const GATEWAY_CORE: usize = 1;
