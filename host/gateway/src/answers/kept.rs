//! One complete answer as it went to a client, and how it is collected on its way there.

use bytes::Bytes;

/// What an entry weighs beside its bytes: keys, counters, the tables that hold it.
pub(crate) const ENTRY_BYTES: usize = 256;

/// An answer that a client got with status 200, chunk by chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) content_type: &'static str,
    /// The target that made it.
    pub(crate) target: String,
    body: Bytes,
    /// Where each chunk ends in `body`.
    ends: Box<[u32]>,
}

impl Kept {
    /// The chunks that were released, in order.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = Bytes> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let range = |(start, &end): (u32, &u32)| self.body.slice(start as usize..end as usize);
        starts.zip(&self.ends).map(range)
    }

    /// Bytes of its body.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Bytes that it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        self.body.len() + self.ends.len() * size_of::<u32>() + self.target.len() + ENTRY_BYTES
    }
}

/// Collects what is released, up to a bound; over it the bytes are only counted.
#[derive(Debug)]
pub(crate) struct Tape {
    body: Vec<u8>,
    ends: Vec<u32>,
    bytes: usize,
    bytes_max: usize,
}

impl Tape {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            body: Vec::new(),
            ends: Vec::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Takes at least so many bytes; told before the first comes.
    pub(crate) fn allow(&mut self, bytes_max: usize) {
        self.bytes_max = self.bytes_max.max(bytes_max);
    }

    /// Copies a chunk: a slice would keep the whole buffer that it was read into.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len();
        if self.bytes > self.bytes_max {
            self.body = Vec::new();
            self.ends = Vec::new();
            return;
        }
        self.body.extend_from_slice(chunk);
        self.ends
            .push(u32::try_from(self.bytes).unwrap_or(u32::MAX));
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The answer, where all of it was collected.
    pub(crate) fn end(self, content_type: &'static str, target: String) -> Option<Kept> {
        let is_all = self.bytes <= self.bytes_max && u32::try_from(self.bytes).is_ok();
        is_all.then(|| Kept {
            content_type,
            target,
            // Exactly as large as it weighs, whatever the collecting had set aside.
            body: Bytes::from(self.body.into_boxed_slice()),
            ends: self.ends.into_boxed_slice(),
        })
    }
}

/// An answer of one chunk.
#[cfg(test)]
pub(crate) fn kept(text: &str) -> Kept {
    let mut tape = Tape::new(text.len());
    tape.push(text.as_bytes());
    tape.end("application/json", "t".to_owned())
        .expect("within the bound")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_as_they_went() {
        let mut tape = Tape::new(5);
        for chunk in ["ab", "c", "de"] {
            tape.push(chunk.as_bytes());
        }
        let kept = tape.end("text/event-stream", "local".to_owned());
        let kept = kept.expect("within the bound");
        let chunks: Vec<_> = kept.chunks().collect();
        assert_eq!(chunks, ["ab", "c", "de"]);
        assert_eq!(kept.bytes(), 5);
        assert!(kept.weight() > ENTRY_BYTES + 5);
    }

    #[test]
    fn a_byte_too_much_keeps_nothing_and_counts_on() {
        let mut tape = Tape::new(1);
        tape.allow(4);
        for chunk in ["abcd", "e", "f"] {
            tape.push(chunk.as_bytes());
        }
        assert_eq!((tape.bytes(), tape.body.capacity()), (6, 0));
        assert_eq!(tape.end("application/json", String::new()), None);
    }
}
