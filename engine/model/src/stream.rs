//! From token bytes to text a client may see: whole UTF-8 characters, nothing of a stop string.
//!
//! Promises: what was released is final; a stop string is found wherever token borders fall; text that could still
//! become a stop string is held back, and only that.

/// Whether the text goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// More may come.
    Open,
    /// A stop string was reached; nothing after it is released.
    Stopped,
}

/// The text of one sequence while it is generated.
#[derive(Clone, Debug)]
pub struct TextStream {
    stops: Vec<String>,
    /// Bytes of an unfinished character, at most three.
    bytes: Vec<u8>,
    /// Text that may be the beginning of a stop string.
    held: String,
    ending: Ending,
}

impl TextStream {
    /// Text that ends before any of `stops`; empty ones are ignored.
    #[must_use]
    pub fn new(stops: Vec<String>) -> Self {
        Self {
            stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(),
            bytes: Vec::new(),
            held: String::new(),
            ending: Ending::Open,
        }
    }

    /// Adds a token's bytes and returns what may be shown now.
    pub fn push(&mut self, bytes: &[u8]) -> (String, Ending) {
        if self.ending == Ending::Stopped {
            return (String::new(), Ending::Stopped);
        }
        self.bytes.extend_from_slice(bytes);
        self.decode();
        if let Some(at) = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min()
        {
            self.held.truncate(at);
            self.ending = Ending::Stopped;
            return (std::mem::take(&mut self.held), Ending::Stopped);
        }
        let keep = self
            .stops
            .iter()
            .map(|stop| overlap(&self.held, stop))
            .max()
            .unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, rest), Ending::Open)
    }

    /// The end of the sequence: what was held back, an unfinished character as U+FFFD.
    pub fn finish(&mut self) -> String {
        if !self.bytes.is_empty() {
            self.bytes.clear();
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        std::mem::take(&mut self.held)
    }

    fn decode(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            self.held.push_str(chunk.valid());
            at += chunk.valid().len();
            let invalid = chunk.invalid();
            let unfinished = at + invalid.len() == bytes.len()
                && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if unfinished {
                break;
            }
            if !invalid.is_empty() {
                self.held.push(char::REPLACEMENT_CHARACTER);
            }
            at += invalid.len();
        }
        bytes.drain(..at);
        self.bytes = bytes;
    }
}

/// Bytes at the end of `text` that begin `stop` (but are not all of it).
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len() - 1);
    (1..=longest)
        .rev()
        .find(|length| text.as_bytes().ends_with(&stop.as_bytes()[..*length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `bytes` cut at every multiple of `cut` and returns all that was shown, and how it ended.
    fn check(bytes: &[u8], stops: &[&str], cut: usize) -> (String, Ending) {
        let mut stream = TextStream::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut shown = String::new();
        for part in bytes.chunks(cut) {
            let (text, ending) = stream.push(part);
            shown.push_str(&text);
            if ending == Ending::Stopped {
                return (shown, ending);
            }
        }
        shown.push_str(&stream.finish());
        (shown, Ending::Open)
    }

    #[test]
    fn stop_strings_are_found_across_any_border() {
        let text = "One two. Grüße aus 東京 END and more".as_bytes();
        for cut in 1..=text.len() {
            assert_eq!(
                check(text, &[" END", "zzz"], cut),
                ("One two. Grüße aus 東京".to_owned(), Ending::Stopped),
                "cut at {cut}"
            );
            assert_eq!(
                check(text, &["more!"], cut).0.as_bytes(),
                text,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn only_a_possible_stop_is_held_back() {
        let mut stream = TextStream::new(vec!["\n\nUser".to_owned()]);
        assert_eq!(stream.push(b"Hi\n"), ("Hi".to_owned(), Ending::Open));
        assert_eq!(stream.push(b"there"), ("\nthere".to_owned(), Ending::Open));
        assert_eq!(stream.push(b"\n\nUse"), (String::new(), Ending::Open));
        assert_eq!(stream.finish(), "\n\nUse");
    }

    #[test]
    fn after_a_stop_nothing_is_shown() {
        let mut stream = TextStream::new(vec!["x".to_owned(), String::new()]);
        assert_eq!(stream.push(b"axb"), ("a".to_owned(), Ending::Stopped));
        assert_eq!(stream.push(b"c"), (String::new(), Ending::Stopped));
        assert_eq!(stream.finish(), "");
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_cut_are_shown_as_lossy_utf8(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            cut in 1usize..8,
        ) {
            let expected = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert_eq!(check(&bytes, &[], cut).0, expected);
        }
    }
}
