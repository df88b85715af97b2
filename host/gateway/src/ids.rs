//! Request ids: UUIDs of version 7, by the millisecond.
//!
//! Promises: 74 random bits an id, all from the operating system, which is asked by the page: asked for each id it costs
//! what reading the request does. Refuses to know: what the ids are for.

use pointsman_domain::RequestId;
use uuid::{Builder, Uuid};

/// Random bytes of one id.
const ID_BYTES: usize = 10;
/// Ids that are drawn for at once.
const DRAWN: usize = 400;

/// Draws ids; one a thread.
pub(crate) struct Ids {
    random: Box<[[u8; ID_BYTES]; DRAWN]>,
    /// How many of them are left.
    left: usize,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            random: Box::new([[0; ID_BYTES]; DRAWN]),
            left: 0,
        }
    }
}

impl Ids {
    /// A new id of this millisecond since the epoch.
    pub(crate) fn next(&mut self, at_ms: u64) -> RequestId {
        let uuid = match self.draw() {
            Some(random) => Builder::from_unix_timestamp_millis(at_ms, &random).into_uuid(),
            None => Uuid::now_v7(),
        };
        let mut text = Uuid::encode_buffer();
        RequestId(uuid.hyphenated().encode_lower(&mut text).to_owned())
    }

    fn draw(&mut self) -> Option<[u8; ID_BYTES]> {
        if self.left == 0 {
            getrandom::fill(self.random.as_flattened_mut()).ok()?;
            self.left = DRAWN;
        }
        self.left -= 1;
        // Used once: taken out, so that no dump of memory tells it.
        Some(std::mem::take(&mut self.random[self.left]))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_of_their_time_and_never_the_same() {
        let mut ids = Ids::default();
        let at_ms = 0x0192_0345_6789;
        let drawn: HashSet<String> = (0..3 * DRAWN).map(|_| ids.next(at_ms).0).collect();
        assert_eq!(drawn.len(), 3 * DRAWN);
        for id in drawn {
            assert!(id.starts_with("01920345-6789-7"), "{id}");
            assert_eq!(Uuid::parse_str(&id).expect("a UUID").get_version_num(), 7);
        }
    }
}
