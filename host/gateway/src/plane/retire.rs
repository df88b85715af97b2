//! What served before: freed when its last request has ended, cut when too much of it stays.

use std::collections::HashMap;

use super::Plane;
use crate::limits;

/// How retired snapshots stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retired {
    /// Snapshots that still serve someone.
    pub(crate) snapshots: usize,
    /// Bytes of compiled state that only they hold.
    pub(crate) bytes: usize,
    /// Requests pinned to generations below this are to end now.
    pub(crate) cut_below: u64,
}

impl Plane {
    /// Frees what nobody holds. Called from the control side, so that no request pays for it.
    pub(crate) fn sweep(&self) -> Retired {
        let held = self.serving.sweep();
        if held.is_empty() {
            return Retired::default();
        }
        let now = self.serving.load();
        let mut retired = over(
            &now.images(),
            held.iter()
                .map(|snapshot| (snapshot.generation(), snapshot.images())),
            limits::RETIRED_BYTES_MAX,
        );
        retired.snapshots = held.len();
        retired
    }
}

/// What held snapshots, oldest first, hold beyond what serves; and below which generation they go beyond the bound.
fn over(
    serving: &HashMap<usize, usize>,
    held: impl DoubleEndedIterator<Item = (u64, HashMap<usize, usize>)>,
    bytes_max: usize,
) -> Retired {
    let mut retired = Retired::default();
    let mut seen = serving.clone();
    let mut kept = 0;
    // Newest first: the oldest are cut.
    for (generation, images) in held.rev() {
        let more: usize = images
            .into_iter()
            .filter(|(identity, bytes)| seen.insert(*identity, *bytes).is_none())
            .map(|(_, bytes)| bytes)
            .sum();
        retired.bytes += more;
        if retired.cut_below == 0 && kept + more > bytes_max {
            retired.cut_below = generation + 1;
        }
        kept += more;
    }
    retired
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_retired_snapshots_hold_counts_and_the_oldest_are_cut() {
        let images = |identities: &[usize]| identities.iter().map(|&id| (id, 10)).collect();
        let held = || {
            [
                (1, images(&[1, 2])),
                (2, images(&[2, 3])),
                (3, images(&[3, 9])),
            ]
            .into_iter()
        };
        let all = over(&images(&[9]), held(), 1000);
        assert_eq!((all.bytes, all.cut_below), (30, 0));
        // 3 fits, 2 does not any more: it and what is older ends.
        let some = over(&images(&[9]), held(), 15);
        assert_eq!((some.bytes, some.cut_below), (30, 3));
    }
}
