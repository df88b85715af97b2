//! One pass over a JSON text into a flat list of positioned values; no recursion, no numbers converted.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use super::text::unescape;

/// As many keys of an object are compared with each other; more are hashed.
const FEW_KEYS: usize = 16;
/// As many bytes of a string are looked at one by one before its end is searched.
const SHORT_BYTES: usize = 16;

/// Bounds of one parse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Containers inside containers.
    pub(crate) depth_max: usize,
    /// Values and keys altogether.
    pub(crate) values_max: usize,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

/// Why a text was refused; all but the last at a byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Syntax(usize),
    /// The same key twice in one object: readers would disagree on which counts.
    DuplicateKey(usize),
    TooDeep(usize),
    TooMany(usize),
    TooLong,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    kind: Kind,
    /// A string whose spelling is not its text.
    is_escaped: bool,
    start: u32,
    end: u32,
    /// Index of the entry after this value and all inside it.
    after: u32,
}

/// The values of one text in document order; an object's keys stand before their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape {
    entries: Vec<Entry>,
}

impl Tape {
    /// Reads exactly one value.
    pub(crate) fn parse(text: &str, limits: Limits) -> Result<Self, Fault> {
        if u32::try_from(text.len()).is_err() {
            return Err(Fault::TooLong);
        }
        let mut parser = Parser {
            text,
            bytes: text.as_bytes(),
            at: 0,
            limits,
            entries: Vec::with_capacity(text.len() / 24 + 4),
            open: Vec::new(),
        };
        parser.run()?;
        Ok(Self {
            entries: parser.entries,
        })
    }

    /// The outermost value; `text` is the text that was parsed.
    pub(crate) fn root<'a>(&'a self, text: &'a str) -> Node<'a> {
        Node {
            tape: self,
            text,
            at: 0,
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
    entries: Vec<Entry>,
    open: Vec<usize>,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        self.value()?;
        while let Some(&container) = self.open.last() {
            self.member(container)?;
        }
        self.space();
        if self.at < self.bytes.len() {
            return Err(Fault::Syntax(self.at));
        }
        Ok(())
    }

    /// The next member of the innermost container, or its end.
    fn member(&mut self, container: usize) -> Result<(), Fault> {
        let is_object = self.entries[container].kind == Kind::Object;
        let is_first = self.entries.len() == container + 1;
        self.space();
        if self.peek() == Some(if is_object { b'}' } else { b']' }) {
            self.at += 1;
            return self.close(container);
        }
        if !is_first {
            self.expect(b',')?;
            self.space();
        }
        if is_object {
            if self.peek() != Some(b'"') {
                return Err(Fault::Syntax(self.at));
            }
            self.string()?;
            self.space();
            self.expect(b':')?;
        }
        self.value()
    }

    fn value(&mut self) -> Result<(), Fault> {
        self.space();
        match self.peek() {
            Some(b'{') => self.begin(Kind::Object),
            Some(b'[') => self.begin(Kind::Array),
            Some(b'"') => self.string(),
            Some(b't') => self.word("true", Kind::True),
            Some(b'f') => self.word("false", Kind::False),
            Some(b'n') => self.word("null", Kind::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(Fault::Syntax(self.at)),
        }
    }

    fn begin(&mut self, kind: Kind) -> Result<(), Fault> {
        if self.open.len() >= self.limits.depth_max {
            return Err(Fault::TooDeep(self.at));
        }
        let start = self.at;
        self.at += 1;
        self.open.push(self.entries.len());
        self.push(kind, start)
    }

    fn close(&mut self, container: usize) -> Result<(), Fault> {
        self.open.pop();
        let after = position(self.entries.len());
        let end = position(self.at);
        let entry = &mut self.entries[container];
        entry.after = after;
        entry.end = end;
        if entry.kind == Kind::Object {
            self.check_keys(container)?;
        }
        Ok(())
    }

    fn check_keys(&self, container: usize) -> Result<(), Fault> {
        // Most objects have few keys, spelled as they are: those are compared where they stand.
        let mut few: [&str; FEW_KEYS] = [""; FEW_KEYS];
        let end = self.entries[container].after as usize;
        let mut at = container + 1;
        let mut count = 0;
        while at < end {
            let entry = self.entries[at];
            if count == FEW_KEYS || entry.is_escaped {
                return self.check_many_keys(container);
            }
            let key = &self.text[entry.start as usize + 1..entry.end as usize - 1];
            if few[..count].contains(&key) {
                return Err(Fault::DuplicateKey(entry.start as usize));
            }
            few[count] = key;
            count += 1;
            at = self.entries[at + 1].after as usize;
        }
        Ok(())
    }

    #[cold]
    fn check_many_keys(&self, container: usize) -> Result<(), Fault> {
        let end = self.entries[container].after as usize;
        let mut keys: HashSet<Cow<'_, str>> = HashSet::new();
        let mut at = container + 1;
        while at < end {
            let entry = self.entries[at];
            let key = unescape(&self.text[entry.start as usize + 1..entry.end as usize - 1]);
            if !keys.insert(key) {
                return Err(Fault::DuplicateKey(entry.start as usize));
            }
            at = self.entries[at + 1].after as usize;
        }
        Ok(())
    }

    fn push(&mut self, kind: Kind, start: usize) -> Result<(), Fault> {
        self.push_spelled(kind, start, false)
    }

    fn push_spelled(&mut self, kind: Kind, start: usize, is_escaped: bool) -> Result<(), Fault> {
        if self.entries.len() >= self.limits.values_max {
            return Err(Fault::TooMany(start));
        }
        let after = position(self.entries.len() + 1);
        self.entries.push(Entry {
            kind,
            is_escaped,
            start: position(start),
            end: position(self.at),
            after,
        });
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        let mut is_escaped = false;
        loop {
            self.at += plain(&self.bytes[self.at..]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    is_escaped = true;
                    self.escape()?;
                }
                Some(_) | None => return Err(Fault::Syntax(self.at)),
            }
        }
        self.at += 1;
        self.push_spelled(Kind::String, start, is_escaped)
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let digits = match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            _ => return Err(Fault::Syntax(self.at)),
        };
        let hex = self
            .bytes
            .get(self.at + 2..self.at + 2 + digits)
            .ok_or(Fault::Syntax(self.at))?;
        if !hex.iter().all(u8::is_ascii_hexdigit) {
            return Err(Fault::Syntax(self.at));
        }
        self.at += 2 + digits;
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.skip(b'-');
        if !self.skip(b'0') {
            self.digits()?;
        }
        if self.skip(b'.') {
            self.digits()?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            if !self.skip(b'+') {
                self.skip(b'-');
            }
            self.digits()?;
        }
        self.push(Kind::Number, start)
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Err(Fault::Syntax(start));
        }
        Ok(())
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<(), Fault> {
        let start = self.at;
        if !self.bytes[start..].starts_with(word.as_bytes()) {
            return Err(Fault::Syntax(start));
        }
        self.at += word.len();
        self.push(kind, start)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.skip(byte) {
            return Ok(());
        }
        Err(Fault::Syntax(self.at))
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

/// Whether a byte may stand in a string as it is.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        plain[byte] = false;
        byte += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

/// Bytes up to the first that ends a string, begins an escape, or may not stand in a string.
fn plain(bytes: &[u8]) -> usize {
    // Keys and short values end within a word or two.
    let short = &bytes[..bytes.len().min(SHORT_BYTES)];
    if let Some(end) = short.iter().position(|&byte| !PLAIN[usize::from(byte)]) {
        return end;
    }
    let rest = &bytes[short.len()..];
    let run = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    // Without a branch a byte, so that many are looked at at once.
    let is_text = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(true, |is_text, &byte| is_text & (byte >= 0x20))
    };
    let run = if is_text(&rest[..run]) {
        run
    } else {
        rest.iter()
            .position(|&byte| byte < 0x20)
            .unwrap_or(rest.len())
    };
    short.len() + run
}

/// `Tape::parse` refuses texts whose positions do not fit.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// One value in its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    tape: &'a Tape,
    text: &'a str,
    at: usize,
}

impl<'a> Node<'a> {
    fn entry(self) -> Entry {
        self.tape.entries[self.at]
    }

    fn sibling(self, at: usize) -> Self {
        Self { at, ..self }
    }

    pub(crate) fn kind(self) -> Kind {
        self.entry().kind
    }

    pub(crate) fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// Bytes of the value in the text, quotes and brackets included.
    pub(crate) fn range(self) -> Range<usize> {
        let entry = self.entry();
        entry.start as usize..entry.end as usize
    }

    /// The value as it is spelled.
    pub(crate) fn raw(self) -> &'a str {
        &self.text[self.range()]
    }

    /// A string as it is spelled, without its quotes.
    pub(crate) fn raw_string(self) -> Option<&'a str> {
        (self.kind() == Kind::String).then(|| &self.text[self.inner()])
    }

    /// Bytes between the quotes or brackets.
    pub(crate) fn inner(self) -> Range<usize> {
        let range = self.range();
        range.start + 1..range.end - 1
    }

    /// A string, decoded.
    pub(crate) fn string(self) -> Option<Cow<'a, str>> {
        let raw = self.raw_string()?;
        Some(if self.entry().is_escaped {
            unescape(raw)
        } else {
            Cow::Borrowed(raw)
        })
    }

    /// Whether it is this string.
    #[inline]
    fn is(self, text: &str) -> bool {
        let entry = self.entry();
        if entry.is_escaped {
            return self.string().is_some_and(|own| own == text);
        }
        // Most are told apart by their length.
        (entry.end - entry.start) as usize == text.len() + 2
            && entry.kind == Kind::String
            && self.text.as_bytes()[entry.start as usize + 1..][..text.len()] == *text.as_bytes()
    }

    pub(crate) fn flag(self) -> Option<bool> {
        match self.kind() {
            Kind::True => Some(true),
            Kind::False => Some(false),
            Kind::Object | Kind::Array | Kind::String | Kind::Number | Kind::Null => None,
        }
    }

    /// A whole number that fits; `3.0` is one, as JSON has no integers.
    pub(crate) fn integer(self) -> Option<u64> {
        if self.kind() != Kind::Number {
            return None;
        }
        let raw = self.raw();
        raw.parse().ok().or_else(|| {
            let (whole, fraction) = raw.split_once('.')?;
            fraction
                .bytes()
                .all(|byte| byte == b'0')
                .then(|| whole.parse().ok())?
        })
    }

    pub(crate) fn number(self) -> Option<f64> {
        if self.kind() != Kind::Number {
            return None;
        }
        self.raw()
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
    }

    /// Keys and values of an object, in order; nothing for others.
    pub(crate) fn members(self) -> impl Iterator<Item = (Node<'a>, Node<'a>)> {
        let end = self.end_of(Kind::Object);
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let (key, value) = (self.sibling(at), self.sibling(at + 1));
                at = value.entry().after as usize;
                (key, value)
            })
        })
    }

    /// Items of an array, in order; nothing for others.
    pub(crate) fn items(self) -> impl Iterator<Item = Node<'a>> {
        let end = self.end_of(Kind::Array);
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let item = self.sibling(at);
                at = item.entry().after as usize;
                item
            })
        })
    }

    fn end_of(self, kind: Kind) -> usize {
        if self.kind() == kind {
            self.entry().after as usize
        } else {
            0
        }
    }

    /// A member of an object.
    pub(crate) fn get(self, key: &str) -> Option<Self> {
        self.members()
            .find(|(name, _)| name.is(key))
            .map(|(_, value)| value)
    }

    /// A member of an object unless it is null.
    pub(crate) fn some(self, key: &str) -> Option<Self> {
        self.get(key).filter(|value| !value.is_null())
    }
}
