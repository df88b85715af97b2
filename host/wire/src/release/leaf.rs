//! Tool arguments as they stream: JSON text in fragments, split into structure and decoded leaves.
//!
//! Promises: an escape is decoded once all of it is here, however it was split; structure and leaves come out in
//! order; a number comes whole, since only then is it known whether it stays one.
//! Refuses to know: guards, lanes, the string that carries the text.

use crate::json::{pair, push_key};

/// What arguments are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Brackets, commas, colons, quotes, space and words, as spelled.
    Structure(String),
    /// A leaf begins.
    Open { path: String, kind: LeafKind },
    /// Decoded text of the open leaf.
    Text(String),
    /// The open leaf is complete.
    Close,
    /// The text is not JSON, or nested too deep; the rest follows as one raw leaf.
    Malformed,
}

/// How a leaf's text is spelled in the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeafKind {
    /// Escaped, between quotes that are structure.
    String,
    /// As it is, or as a quoted string once it is no number any more.
    Number,
    /// As it is.
    Raw,
}

/// Bounds of one call's arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeafLimits {
    pub(super) depth_max: usize,
    pub(super) path_bytes_max: usize,
    pub(super) number_bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Value,
    FirstItem,
    FirstKey,
    Key,
    Colon,
    AfterValue,
    String { is_key: bool },
    Number,
    Word { word: &'static str, read: usize },
    Raw,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Length of the container's own path.
    path_length: usize,
    /// The item's index; none in objects.
    index: Option<usize>,
}

/// Reads one call's arguments.
#[derive(Debug)]
pub(super) struct Leaves {
    limits: LeafLimits,
    at: At,
    frames: Vec<Frame>,
    path: String,
    key: String,
    /// A started escape or number.
    partial: String,
    structure: String,
    tokens: Vec<Token>,
}

/// What a started escape amounts to.
enum Escape {
    More,
    Char(char),
    /// Half a surrogate pair, followed by what is still to be read.
    Lone(String),
    Bad,
}

/// The text is not JSON from here on.
struct Malformed;

impl Leaves {
    pub(super) const fn new(limits: LeafLimits) -> Self {
        Self {
            limits,
            at: At::Value,
            frames: Vec::new(),
            path: String::new(),
            key: String::new(),
            partial: String::new(),
            structure: String::new(),
            tokens: Vec::new(),
        }
    }

    /// Whether something was read that no token tells yet.
    pub(super) const fn is_behind(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Whether a value has begun and is not complete.
    pub(super) fn is_under_way(&self) -> bool {
        !matches!(
            (self.at, self.frames.len()),
            (At::Value | At::AfterValue, 0)
        )
    }

    /// Takes the next fragment.
    pub(super) fn push(&mut self, fragment: &str) -> Vec<Token> {
        let mut rest = fragment;
        while !rest.is_empty() {
            if self.at == At::Raw {
                self.tokens.push(Token::Text(rest.to_owned()));
                break;
            }
            match self.step(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(Malformed) => self.give_up(),
            }
        }
        self.flush();
        std::mem::take(&mut self.tokens)
    }

    /// No more fragments: an open leaf ends. A started escape of a cut-off string is dropped.
    pub(super) fn finish(&mut self) -> Vec<Token> {
        match self.at {
            At::Number => self.end_number(),
            At::String { .. } | At::Raw => self.tokens.push(Token::Close),
            _ => {}
        }
        self.partial.clear();
        self.at = At::AfterValue;
        self.flush();
        std::mem::take(&mut self.tokens)
    }

    /// Reads something of `rest` and tells how many bytes.
    fn step(&mut self, rest: &str) -> Result<usize, Malformed> {
        let byte = rest.as_bytes()[0];
        match self.at {
            At::String { is_key } => self.string(rest, is_key),
            At::Number if matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') => {
                if self.partial.len() >= self.limits.number_bytes_max {
                    return Err(Malformed);
                }
                self.partial.push(char::from(byte));
                Ok(1)
            }
            At::Number => {
                self.end_number();
                Ok(0)
            }
            At::Word { word, read } => {
                if word.as_bytes().get(read) != Some(&byte) {
                    return Err(Malformed);
                }
                self.structure.push(char::from(byte));
                let read = read + 1;
                if read == word.len() {
                    self.end_value();
                } else {
                    self.at = At::Word { word, read };
                }
                Ok(1)
            }
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => {
                self.structure.push(char::from(byte));
                Ok(1)
            }
            _ => self.punctuation(byte),
        }
    }

    fn punctuation(&mut self, byte: u8) -> Result<usize, Malformed> {
        let is_array = self.frames.last().map(|frame| frame.index.is_some());
        match (self.at, byte) {
            (At::Value | At::FirstItem, b'-' | b'0'..=b'9') => {
                self.at = At::Number;
                return Ok(0);
            }
            (At::Value | At::FirstItem, b't') => self.word("true"),
            (At::Value | At::FirstItem, b'f') => self.word("false"),
            (At::Value | At::FirstItem, b'n') => self.word("null"),
            (At::Value | At::FirstItem, b'"') => {
                self.structure.push('"');
                self.open(self.path.clone(), LeafKind::String);
                self.at = At::String { is_key: false };
            }
            (At::Value | At::FirstItem, b'{') => self.begin('{', None, At::FirstKey)?,
            (At::Value | At::FirstItem, b'[') => {
                self.begin('[', Some(0), At::FirstItem)?;
                self.path.push_str("/0");
            }
            (At::FirstKey | At::Key, b'"') => {
                self.structure.push('"');
                self.key.clear();
                self.open(format!("{}#key", self.path), LeafKind::String);
                self.at = At::String { is_key: true };
            }
            (At::Colon, b':') => {
                self.structure.push(':');
                self.at = At::Value;
            }
            (At::AfterValue, b',') if is_array.is_some() => self.comma(),
            (At::FirstKey, b'}') => self.end('}'),
            (At::AfterValue, b'}') if is_array == Some(false) => self.end('}'),
            (At::FirstItem, b']') => self.end(']'),
            (At::AfterValue, b']') if is_array == Some(true) => self.end(']'),
            _ => return Err(Malformed),
        }
        Ok(if matches!(self.at, At::Word { read: 0, .. }) {
            0
        } else {
            1
        })
    }

    fn word(&mut self, word: &'static str) {
        self.at = At::Word { word, read: 0 };
    }

    fn begin(&mut self, bracket: char, index: Option<usize>, at: At) -> Result<(), Malformed> {
        if self.frames.len() >= self.limits.depth_max {
            return Err(Malformed);
        }
        self.structure.push(bracket);
        self.frames.push(Frame {
            path_length: self.path.len(),
            index,
        });
        self.at = at;
        Ok(())
    }

    fn end(&mut self, bracket: char) {
        self.structure.push(bracket);
        if let Some(frame) = self.frames.pop() {
            self.path.truncate(frame.path_length);
        }
        self.end_value();
    }

    fn end_value(&mut self) {
        self.at = At::AfterValue;
        if let Some(frame) = self.frames.last() {
            self.path.truncate(frame.path_length);
        }
    }

    fn comma(&mut self) {
        self.structure.push(',');
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        match &mut frame.index {
            None => self.at = At::Key,
            Some(index) => {
                *index += 1;
                self.path.push_str(&format!("/{index}"));
                self.at = At::Value;
            }
        }
    }

    fn end_number(&mut self) {
        let number = std::mem::take(&mut self.partial);
        self.open(self.path.clone(), LeafKind::Number);
        self.tokens.push(Token::Text(number));
        self.tokens.push(Token::Close);
        self.end_value();
    }

    fn string(&mut self, rest: &str, is_key: bool) -> Result<usize, Malformed> {
        if !self.partial.is_empty() {
            return self.escape(rest, is_key);
        }
        match memchr::memchr2(b'"', b'\\', rest.as_bytes()) {
            Some(0) if rest.starts_with('"') => {
                if is_key && self.path.len() + self.key.len() > self.limits.path_bytes_max {
                    return Err(Malformed);
                }
                self.tokens.push(Token::Close);
                self.structure.push('"');
                if is_key {
                    push_key(&mut self.path, &self.key);
                    self.at = At::Colon;
                } else {
                    self.end_value();
                }
                Ok(1)
            }
            Some(0) => {
                self.partial.push('\\');
                Ok(1)
            }
            found => {
                let run = &rest[..found.unwrap_or(rest.len())];
                if is_key && self.key.len() + run.len() > self.limits.path_bytes_max {
                    return Err(Malformed);
                }
                self.text(run, is_key);
                Ok(run.len())
            }
        }
    }

    fn escape(&mut self, rest: &str, is_key: bool) -> Result<usize, Malformed> {
        let Some(next) = rest.chars().next() else {
            return Ok(0);
        };
        self.partial.push(next);
        loop {
            match read_escape(&self.partial) {
                Escape::More => break,
                Escape::Char(decoded) => {
                    self.partial.clear();
                    self.text(decoded.encode_utf8(&mut [0; 4]), is_key);
                    break;
                }
                Escape::Lone(left) => {
                    let is_next_outside = left.is_empty() && self.partial.len() > 6;
                    self.partial = left;
                    self.text("\u{fffd}", is_key);
                    if is_next_outside {
                        return Ok(0);
                    }
                    if self.partial.is_empty() {
                        break;
                    }
                }
                Escape::Bad => {
                    // The raw leaf that follows begins with what was read of the escape.
                    self.partial.truncate(self.partial.len() - next.len_utf8());
                    return Err(Malformed);
                }
            }
        }
        Ok(next.len_utf8())
    }

    fn text(&mut self, text: &str, is_key: bool) {
        if is_key {
            self.key.push_str(text);
        }
        match self.tokens.last_mut() {
            Some(Token::Text(before)) => before.push_str(text),
            _ => self.tokens.push(Token::Text(text.to_owned())),
        }
    }

    fn open(&mut self, path: String, kind: LeafKind) {
        self.flush();
        self.tokens.push(Token::Open { path, kind });
    }

    fn flush(&mut self) {
        if !self.structure.is_empty() {
            self.tokens
                .push(Token::Structure(std::mem::take(&mut self.structure)));
        }
    }

    /// From here on the text is one raw leaf.
    fn give_up(&mut self) {
        self.flush();
        if matches!(self.at, At::String { .. }) {
            self.tokens.push(Token::Close);
        }
        self.tokens.push(Token::Malformed);
        self.open(String::new(), LeafKind::Raw);
        let partial = std::mem::take(&mut self.partial);
        if !partial.is_empty() {
            self.tokens.push(Token::Text(partial));
        }
        self.at = At::Raw;
    }
}

fn read_escape(partial: &str) -> Escape {
    let bytes = partial.as_bytes();
    let decoded = match bytes[1] {
        plain @ (b'"' | b'\\' | b'/') => char::from(plain),
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => return read_unicode(partial),
        _ => return Escape::Bad,
    };
    Escape::Char(decoded)
}

fn read_unicode(partial: &str) -> Escape {
    let bytes = partial.as_bytes();
    let digits = |from: usize| {
        let all = &bytes[from.min(bytes.len())..bytes.len().min(from + 4)];
        let number = std::str::from_utf8(all)
            .ok()
            .and_then(|all| u32::from_str_radix(all, 16).ok());
        (all.len(), all.iter().all(u8::is_ascii_hexdigit), number)
    };
    let (length, are_hex, high) = digits(2);
    let (4, true, Some(high)) = (length, are_hex, high) else {
        return if are_hex { Escape::More } else { Escape::Bad };
    };
    if let Some(plain) = char::from_u32(high) {
        return Escape::Char(plain);
    }
    if high >= 0xdc00 {
        return Escape::Lone(String::new());
    }
    // A high half: only an escaped low half makes it a character.
    match (bytes.get(6), bytes.get(7)) {
        (None, _) | (Some(b'\\'), None) => return Escape::More,
        (Some(b'\\'), Some(b'u')) => {}
        (Some(b'\\'), Some(_)) => return lone(partial),
        (Some(_), _) => return Escape::Lone(String::new()),
    }
    let (length, are_hex, low) = digits(8);
    if !are_hex {
        return Escape::Bad;
    }
    match low.filter(|_| length == 4) {
        None => Escape::More,
        Some(low) => match pair(high, low) {
            Some(joined) => Escape::Char(joined),
            None => lone(partial),
        },
    }
}

/// The half is over, and the escape after it goes on by itself.
fn lone(partial: &str) -> Escape {
    Escape::Lone(partial[6..].to_owned())
}
