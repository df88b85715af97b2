//! What one detector says of a place.

/// What stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Nothing,
    Found {
        bytes: usize,
        /// It had no end within the bound.
        goes_on: bool,
    },
    /// It depends on what follows; `tells`: so much is there that releasing it would tell.
    More {
        tells: bool,
    },
}

impl Seen {
    /// Undecided, whatever else was undecided before.
    pub(crate) const fn or_more(self, tells: bool) -> Self {
        match self {
            Self::More { tells: told } => Self::More {
                tells: told || tells,
            },
            _ => Self::More { tells },
        }
    }
}

/// Shannon's entropy in bits a byte.
pub(crate) fn entropy(bytes: &[u8]) -> f32 {
    let mut counts = [0_u16; 256];
    for &byte in bytes {
        counts[usize::from(byte)] += 1;
    }
    let total = bytes.iter().fold(0.0_f32, |total, _| total + 1.0);
    let share = |count: &u16| f32::from(*count) / total;
    let seen = counts.iter().filter(|count| **count > 0).map(share);
    -seen.map(|share| share * share.log2()).sum::<f32>()
}
