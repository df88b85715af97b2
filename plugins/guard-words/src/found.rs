//! What one of the two searches says of a place.

/// What begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Here {
        list: usize,
        bytes: usize,
    },
    /// It depends on what follows.
    More,
}

impl Found {
    /// Of two searches the longer find counts, of equal ones the earlier list; while one is undecided, both are.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::More, _) | (_, Self::More) => Self::More,
            (Self::Nothing, other) => other,
            (this, Self::Nothing) => this,
            (
                Self::Here { list, bytes },
                Self::Here {
                    list: other_list,
                    bytes: other_bytes,
                },
            ) => {
                let other_counts = (other_bytes, list) > (bytes, other_list);
                if other_counts { other } else { self }
            }
        }
    }
}
