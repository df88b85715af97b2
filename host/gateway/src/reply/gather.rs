//! Lets a stream that comes fast leave in fewer writes: each write is a system call, and most of what a chunk costs.
//!
//! The provider's bytes pass three tasks of one thread, which take turns; what is there is held for a few turns, in
//! which more may come. No time is waited for: without anything else to do, the turns are over at once.

/// Turns that are waited; a chunk takes two from the provider's socket to here.
const TURNS: u8 = 12;
/// With so many bytes there is enough to write.
const ENOUGH_BYTES: usize = 8 * 1024;
/// Writes without a wait after one in which nothing more came.
const REST: u8 = 32;

/// Whether to wait for more.
#[derive(Debug, Default)]
pub(super) struct Gather {
    state: State,
    rest: u8,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Nothing was sent yet: the first bytes of an answer never wait.
    #[default]
    Beginning,
    Empty,
    Waiting {
        turns: u8,
        /// Bytes that were there when it began.
        began_with: usize,
    },
    /// What is there is handed out to the last byte.
    Handing,
}

impl Gather {
    /// Whether to come back in another turn; `queued` bytes are there.
    pub(super) fn waits(&mut self, queued: usize) -> bool {
        let (turns, began_with) = match self.state {
            State::Handing => return false,
            State::Beginning => (TURNS, 0),
            State::Empty if self.rest > 0 => {
                self.rest -= 1;
                (TURNS, 0)
            }
            State::Empty => (0, queued),
            State::Waiting { turns, began_with } => (turns, began_with),
        };
        if turns == TURNS || queued >= ENOUGH_BYTES {
            if turns == TURNS && queued == began_with {
                self.rest = REST;
            }
            self.state = State::Handing;
            return false;
        }
        self.state = State::Waiting {
            turns: turns + 1,
            began_with,
        };
        true
    }

    /// All was handed out.
    pub(super) fn emptied(&mut self) {
        if matches!(self.state, State::Handing) {
            self.state = State::Empty;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns that are waited until what is queued is handed out; `more` comes in the first of them.
    fn turns(gather: &mut Gather, queued: usize, more: usize) -> u8 {
        let mut turns = 0;
        while gather.waits(queued + if turns > 0 { more } else { 0 }) {
            turns += 1;
        }
        assert!(!gather.waits(queued), "handed out to the last byte");
        gather.emptied();
        turns
    }

    #[test]
    fn the_first_bytes_never_wait_and_fast_streams_do() {
        let mut gather = Gather::default();
        assert_eq!(turns(&mut gather, 100, 0), 0);
        for _ in 0..10 {
            assert_eq!(turns(&mut gather, 100, 100), TURNS);
        }
        assert_eq!(turns(&mut gather, ENOUGH_BYTES, 0), 0);
        assert_eq!(turns(&mut gather, 100, ENOUGH_BYTES), 1);
    }

    #[test]
    fn a_slow_stream_hardly_ever_waits() {
        let mut gather = Gather::default();
        let waited: u32 = (0..1 + 10 * u32::from(REST + 1))
            .map(|_| u32::from(turns(&mut gather, 100, 0) > 0))
            .sum();
        assert_eq!(waited, 10);
    }
}
