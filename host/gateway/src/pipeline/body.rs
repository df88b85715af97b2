//! A body as it arrives: in pieces that are never moved, since a buffer of 16 MiB that grows holds its thread for 10 ms.

use bytes::{Bytes, BytesMut};

use crate::limits;

/// What has arrived so far.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    full: Vec<BytesMut>,
    last: BytesMut,
    len: usize,
}

impl Pieces {
    /// Of a body that is said to have so many bytes.
    pub(super) fn of(declared: Option<usize>) -> Self {
        let start = declared.unwrap_or(limits::BODY_START_BYTES / 16);
        Self {
            last: BytesMut::with_capacity(start.min(limits::BODY_START_BYTES)),
            ..Self::default()
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        let fits = chunk.len().min(self.last.capacity() - self.last.len());
        let (now, rest) = chunk.split_at(fits);
        self.last.extend_from_slice(now);
        self.len += chunk.len();
        if rest.is_empty() {
            return;
        }
        // As much again as there is, so that there are few; no more than is soon filled.
        let next = self.len.min(limits::READ_TURN_BYTES).max(rest.len());
        let full = std::mem::replace(&mut self.last, BytesMut::with_capacity(next));
        self.full.push(full);
        self.last.extend_from_slice(rest);
    }

    /// The whole. Takes as long as the body is large.
    pub(super) fn join(self) -> Bytes {
        if self.full.is_empty() {
            return self.last.freeze();
        }
        let mut all = Vec::with_capacity(self.len);
        for piece in self.full.into_iter().chain([self.last]) {
            all.extend_from_slice(&piece);
        }
        all.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_whole_is_what_was_pushed(
            declared in proptest::option::of(0_usize..200_000),
            chunks in proptest::collection::vec((0_usize..70_000, any::<u8>()), 0..20),
        ) {
            let mut pieces = Pieces::of(declared);
            let mut all = Vec::new();
            for (len, byte) in chunks {
                let chunk = vec![byte; len];
                pieces.push(&chunk);
                all.extend(chunk);
                prop_assert_eq!(pieces.len(), all.len());
            }
            prop_assert!(pieces.full.len() <= 20);
            prop_assert_eq!(&pieces.join()[..], &all[..]);
        }
    }

    #[test]
    fn a_small_body_that_says_its_length_is_one_piece() {
        let mut pieces = Pieces::of(Some(5));
        pieces.push(b"he");
        pieces.push(b"llo");
        assert!(pieces.full.is_empty());
        assert_eq!(pieces.join(), "hello");
    }
}
