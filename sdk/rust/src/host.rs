//! What the host offers besides the request. In the gateway these are the contract's imports, granted step by step
//! and recorded; natively they answer from `testing::FakeHost`, so that logic which calls them can be tested.

use crate::words::{Level, Rate};

#[cfg(target_arch = "wasm32")]
use crate::generated::host::pointsman::plugin as import;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::fake_import as import;

/// Writes a log line of the step (import `log`).
pub fn log(level: Level, message: &str) {
    import::log::log(level, message);
}

/// The decision's timestamp, milliseconds since the epoch (import `clock`).
#[must_use]
pub fn now_ms() -> u64 {
    import::clock::now_ms()
}

/// The next number of a generator seeded from request and step (import `random`).
#[must_use]
pub fn next_u64() -> u64 {
    import::random::next_u64()
}

/// A whole file of the bundle that the step names (import `data`).
#[must_use]
pub fn data(name: &str) -> Option<Vec<u8>> {
    let size = import::data::size(name)?;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        // Read in pieces below the host's cap on returned bytes.
        let piece = import::data::read(name, bytes.len() as u64, 256 * 1024)?;
        if piece.is_empty() {
            return None;
        }
        bytes.extend(piece);
    }
    Some(bytes)
}

/// A sliding count of the tenant over the last 1 to 3,600 seconds: `requests`, `denials`, `cuts`, `errors`, `tokens`;
/// any other is a fault (import `counters`).
#[must_use]
pub fn count(name: &str, window_seconds: u32) -> u64 {
    import::counters::count(name, window_seconds)
}

/// The vector of the recent text (`recent`) or of a data entry (import `embedding`).
#[must_use]
pub fn vector(name: &str) -> Option<Vec<f32>> {
    import::embedding::vector(name)
}

/// HMAC-SHA256 under a secret that the step's configuration names (`secret://NAME`); none where there is no such, or
/// where it is not for the tenant (import `secrets`).
#[must_use]
pub fn hmac(name: &str, message: &[u8]) -> Option<Vec<u8>> {
    import::secrets::hmac(name, message)
}

/// Price rows of a target in pico-dollars per unit; none where the catalogue does not know it (import `prices`).
#[must_use]
pub fn rates(target: &str) -> Option<Vec<Rate>> {
    import::prices::rates(target)
}
