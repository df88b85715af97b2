//! Where something can begin: a cheap first look, so that detectors run only there.
//!
//! Promises: a place that is passed over is one where every detector says "nothing", now and with whatever follows;
//! a test holds it to that.

use super::{Memo, Scanner, email, number};
use crate::kind::Kind;

/// What a byte can begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Nothing.
    Inert,
    /// A letter or underscore.
    Letter,
    Digit,
    /// A plus sign or opening bracket.
    Sign,
    Colon,
    /// The first byte of a character below U+0600 that is not ASCII.
    Foreign,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Inert; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'+' | b'(' => Class::Sign,
            b':' => Class::Colon,
            0xc2..=0xd7 => Class::Foreign,
            _ => Class::Inert,
        };
        byte += 1;
    }
    classes
};

/// Bytes of a local part that are ASCII.
const LOCAL: [bool; 256] = {
    let mut local = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let is_word = matches!(CLASSES[byte], Class::Letter | Class::Digit);
        local[byte] = is_word || matches!(byte as u8, b'.' | b'%' | b'+' | b'-' | b'\'');
        byte += 1;
    }
    local
};

/// How far before its first digit or colon something other than an address can begin: `DE89`, `dead:`, `+(1`.
const LEAD_BYTES: usize = 5;

/// The first digit or colon from `at` on, or the end. Every find has one, or an `@`.
fn digit_or_colon(bytes: &[u8], at: usize) -> usize {
    // Eight bytes at a time: the high bit of each byte that lies between `/` and `;`, as digits and the colon do.
    const ONES: u64 = 0x0101_0101_0101_0101;
    const LOW: u64 = ONES * 0x7f;
    const ABOVE: u64 = ONES * (0x7f - b'/' as u64);
    const BELOW: u64 = ONES * (0x7f + b';' as u64);
    let mut place = at;
    while let Some(eight) = bytes[place..].first_chunk() {
        let eight = u64::from_le_bytes(*eight);
        let low = eight & LOW;
        let between = (BELOW - low) & !eight & (low + ABOVE) & !LOW;
        if between != 0 {
            return place + (between.trailing_zeros() / 8) as usize;
        }
        place += 8;
    }
    let rest = bytes[place..]
        .iter()
        .position(|byte| matches!(byte, b'0'..=b':'));
    rest.map_or(bytes.len(), |ahead| place + ahead)
}

impl Scanner {
    /// The first place from `at` on where something can begin, or the end.
    pub(super) fn skip(&self, text: &str, at: usize, complete: bool, memo: &mut Memo) -> usize {
        let look = Look {
            bytes: text.as_bytes(),
            complete,
            email: self.wants(Kind::Email),
            iban: self.wants(Kind::Iban),
            ip: self.wants(Kind::Ip),
            numbers: self.wants_numbers(),
        };
        let mut place = at;
        while place < look.bytes.len() {
            let digit = digit_or_colon(look.bytes, place);
            let mut jump = digit.saturating_sub(LEAD_BYTES);
            if look.email {
                look.find_sign(place, memo);
                jump = jump.min(memo.no_email_before);
            }
            place = place.max(jump);
            if let Some(begins) = look.stroll(&mut place, digit, memo) {
                return begins;
            }
        }
        look.bytes.len()
    }
}

struct Look<'a> {
    bytes: &'a [u8],
    complete: bool,
    email: bool,
    iban: bool,
    ip: bool,
    numbers: bool,
}

impl Look<'_> {
    /// Looks at every byte from `place` to the digits or colon at `digit`, and leaves `place` behind them.
    fn stroll(&self, place: &mut usize, digit: usize, memo: &mut Memo) -> Option<usize> {
        let mut before = match place.checked_sub(1) {
            Some(before) => CLASSES[usize::from(self.bytes[before])],
            None => Class::Inert,
        };
        while let Some(&byte) = self.bytes.get(*place) {
            if *place > digit {
                return None;
            }
            let class = CLASSES[usize::from(byte)];
            if self.begins(*place, byte, class, before, memo) {
                return Some(*place);
            }
            before = class;
            *place += 1;
            if matches!(class, Class::Letter | Class::Digit) {
                self.pass_word(place, class, memo);
            }
        }
        None
    }

    /// Nothing begins among letters or digits, but an address whose local part would be too long from the first.
    fn pass_word(&self, place: &mut usize, class: Class, memo: &Memo) {
        let end = if self.email {
            memo.no_email_before.min(self.bytes.len())
        } else {
            self.bytes.len()
        };
        while *place < end && CLASSES[usize::from(self.bytes[*place])] == class {
            *place += 1;
        }
    }

    /// Whether something can begin at `place`; `before` is what stands before it.
    fn begins(&self, place: usize, byte: u8, class: Class, before: Class, memo: &mut Memo) -> bool {
        let email = self.email && place >= memo.no_email_before;
        let inside = matches!(before, Class::Letter | Class::Digit);
        match class {
            Class::Inert => false,
            Class::Letter => {
                (email && self.email_at(place, memo)) || (!inside && self.word_at(place, byte))
            }
            Class::Digit => {
                let idle = || number::is_idle(self.bytes, place, self.complete, memo.found_end);
                let number = self.numbers && before != Class::Digit && !idle();
                number
                    || (email && self.email_at(place, memo))
                    || (self.ip && !inside && self.v6_at(place))
            }
            Class::Sign => self.numbers && self.sign_at(place),
            Class::Colon => self.ip && self.is_or_may_be(place + 1, |byte| byte == b':'),
            Class::Foreign => email,
        }
    }

    /// Whether the byte at `place` fits, or is not known yet.
    fn is_or_may_be(&self, place: usize, fits: impl Fn(u8) -> bool) -> bool {
        match self.bytes.get(place) {
            Some(&byte) => fits(byte),
            None => !self.complete,
        }
    }

    /// Looks for the next `@`: an address begins at most a local part before it, or before what is not known yet.
    fn find_sign(&self, at: usize, memo: &mut Memo) {
        let from = at.max(memo.no_sign_before);
        if self.bytes.get(from) == Some(&b'@') {
            return;
        }
        let found = self
            .bytes
            .get(from..)
            .and_then(|rest| memchr::memchr(b'@', rest));
        let sign = found.map_or(self.bytes.len(), |ahead| from + ahead);
        memo.no_sign_before = sign;
        let begins = if found.is_none() && self.complete {
            sign
        } else {
            sign.saturating_sub(email::LOCAL_BYTES_MAX)
        };
        memo.no_email_before = memo.no_email_before.max(begins);
    }

    /// A digit follows, or a bracket after a plus sign.
    fn sign_at(&self, place: usize) -> bool {
        self.is_or_may_be(place + 1, |byte| byte.is_ascii_digit() || byte == b'(')
    }

    /// An account's country and check digits, or an IPv6 address's first group.
    fn word_at(&self, place: usize, first: u8) -> bool {
        let known = |ahead: usize| self.bytes.get(place + ahead);
        if self.iban
            && self.is_or_may_be(place + 1, |byte| byte.is_ascii_alphabetic())
            && (known(1).is_none() || self.is_or_may_be(place + 2, |byte| byte.is_ascii_digit()))
        {
            return true;
        }
        self.ip && first.is_ascii_hexdigit() && self.v6_at(place)
    }

    /// Hexadecimal digits, a colon, and more of either.
    fn v6_at(&self, place: usize) -> bool {
        let mut end = place;
        while end - place < 5 && self.bytes.get(end).is_some_and(u8::is_ascii_hexdigit) {
            end += 1;
        }
        end - place <= 4
            && self.is_or_may_be(end, |byte| byte == b':')
            && (end == self.bytes.len()
                || self.is_or_may_be(end + 1, |byte| byte == b':' || byte.is_ascii_hexdigit()))
    }

    /// Letters that may become a local part.
    fn email_at(&self, place: usize, memo: &mut Memo) -> bool {
        let word = self.bytes[place..]
            .iter()
            .take_while(|&&byte| LOCAL[usize::from(byte)])
            .count();
        let end = place + word;
        let may_be = self.is_or_may_be(end, |byte| byte == b'@' || byte >= 0x80);
        if !may_be {
            memo.no_email_before = end + 1;
            return false;
        }
        if word > email::LOCAL_BYTES_MAX {
            memo.no_email_before = end - email::LOCAL_BYTES_MAX;
            return false;
        }
        true
    }
}
