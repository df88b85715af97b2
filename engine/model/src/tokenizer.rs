//! Byte-level BPE as GGUF files of the gpt2 kind describe it.
//!
//! Promises: linear memory and at most `n log n` time in the text, whatever the text; any text encodes, and the
//! bytes of the tokens are the text again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use fancy_regex::Regex;
use pointsman_gguf::{Array, Gguf, Value};

use crate::LoadError;

/// Whether special tokens in a text are taken as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// `<|im_end|>` in the text is that token: for rendered prompts.
    Parse,
    /// It is ten characters: for text from outside.
    Plain,
}

/// A noncharacter that marks text from outside as not special; removed again before encoding. Unicode keeps it out of
/// interchange, so removing it from a message loses nothing.
const SHIELD: char = '\u{FDD0}';

/// Bytes of one word that are merged together; longer words are cut. No real word comes near, and merging is
/// the one step whose memory is a multiple of its input.
const WORD_BYTES_MAX: usize = 65_536;

/// The GPT-2 split; the last branch of the original, `\s+`, follows from the one before.
const GPT2_PATTERN: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// How text is cut into words before merging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Split {
    /// GPT-2's pattern.
    Gpt2,
    /// Each digit alone, then GPT-2's pattern within what is between.
    DigitsThenGpt2,
}

/// A vocabulary and its merges.
#[derive(Debug)]
pub struct Tokenizer {
    names: Vec<String>,
    bytes: Vec<Box<[u8]>>,
    specials: Vec<(String, u32)>,
    byte_tokens: [u32; 256],
    merges: HashMap<(u32, u32), Merge>,
    pattern: Regex,
    split: Split,
    begin: Option<u32>,
    adds_begin: bool,
    end: u32,
}

#[derive(Clone, Copy, Debug)]
struct Merge {
    rank: u32,
    token: u32,
}

const KIND_CONTROL: i64 = 3;
const KIND_USER_DEFINED: i64 = 4;

impl Tokenizer {
    pub(crate) fn read(file: &Gguf) -> Result<Self, LoadError> {
        let unsupported = |what, found: &str, supported| LoadError::Unsupported {
            what,
            found: found.to_owned(),
            supported,
        };
        let model = file.text("tokenizer.ggml.model")?;
        if model != "gpt2" {
            return Err(unsupported("the tokenizer", model, "gpt2"));
        }
        let split = match file.text("tokenizer.ggml.pre")? {
            "gpt-2" => Split::Gpt2,
            "smollm" => Split::DigitsThenGpt2,
            other => return Err(unsupported("the pre-tokenizer", other, "gpt-2, smollm")),
        };
        let names = file.texts("tokenizer.ggml.tokens")?.to_vec();
        let kinds = kinds(file, names.len())?;
        let by_name: HashMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
        let known = |key: &str| -> Result<u32, LoadError> {
            let token = file.u32(key)?;
            if token as usize >= names.len() {
                return Err(LoadError::Inconsistent(format!(
                    "{key} is {token}, beyond the vocabulary"
                )));
            }
            Ok(token)
        };
        let optional = |key: &str| file.value(key).map(|_| known(key)).transpose();

        let unknown = optional("tokenizer.ggml.unknown_token_id")?.unwrap_or(0);
        let letters = byte_letters();
        let byte_tokens = letters.map(|letter| {
            let mut buffer = [0; 4];
            by_name
                .get(&*letter.encode_utf8(&mut buffer))
                .copied()
                .unwrap_or(unknown)
        });
        let letter_bytes: HashMap<char, u8> = letters.into_iter().zip(0..=255).collect();
        let mut bytes = Vec::with_capacity(names.len());
        let mut specials = Vec::new();
        for ((name, kind), token) in names.iter().zip(kinds).zip(0..) {
            let special = kind == KIND_CONTROL || kind == KIND_USER_DEFINED;
            if special && !name.is_empty() {
                specials.push((name.clone(), token));
            }
            bytes.push(match kind {
                // Control tokens steer the model; they are not text.
                KIND_CONTROL => Box::default(),
                KIND_USER_DEFINED => name.as_bytes().into(),
                _ => token_bytes(name, &letter_bytes),
            });
        }
        // The longest special wins where one begins another.
        specials.sort_by_key(|(name, _)| Reverse(name.len()));
        Ok(Self {
            merges: merges(file, &by_name)?,
            specials,
            byte_tokens,
            pattern: Regex::new(GPT2_PATTERN).expect("the pattern is a constant that compiles"),
            split,
            begin: optional("tokenizer.ggml.bos_token_id")?,
            adds_begin: matches!(
                file.value("tokenizer.ggml.add_bos_token"),
                Some(Value::Bool(true))
            ),
            end: known("tokenizer.ggml.eos_token_id")?,
            bytes,
            names,
        })
    }

    /// Tokens of the vocabulary.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.names.len()
    }

    /// The token that ends an answer.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.end
    }

    /// The token that begins a text, if the file names one.
    #[must_use]
    pub fn begin(&self) -> Option<u32> {
        self.begin
    }

    /// The token that must stand before every prompt, if the model was trained so.
    #[must_use]
    pub fn begin_added(&self) -> Option<u32> {
        self.begin.filter(|_| self.adds_begin)
    }

    /// A token as the file writes it.
    #[must_use]
    pub fn name(&self, token: u32) -> &str {
        self.names.get(token as usize).map_or("", String::as_str)
    }

    /// The bytes a token stands for: none for control tokens and numbers beyond the vocabulary. They need not be
    /// whole characters.
    #[must_use]
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], |bytes| bytes)
    }

    /// Text from outside, so marked that [`Specials::Parse`] takes no part of it for a special token.
    #[must_use]
    pub fn shield(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for (at, letter) in text.char_indices() {
            if letter == SHIELD {
                continue;
            }
            out.push(letter);
            if self.special_at(&text[at..]).is_some() {
                out.push(SHIELD);
            }
        }
        out
    }

    /// The tokens of `text`.
    #[must_use]
    pub fn encode(&self, text: &str, specials: Specials) -> Vec<u32> {
        let mut out = Vec::new();
        match specials {
            Specials::Plain => self.encode_plain(text, &mut out),
            Specials::Parse => self.encode_parsed(text, &mut out),
        }
        out
    }

    fn encode_parsed(&self, text: &str, out: &mut Vec<u32>) {
        let plain = |text: &str, out: &mut Vec<u32>| {
            if text.contains(SHIELD) {
                self.encode_plain(&text.replace(SHIELD, ""), out);
            } else {
                self.encode_plain(text, out);
            }
        };
        let (mut plain_from, mut at) = (0, 0);
        while at < text.len() {
            if text.is_char_boundary(at)
                && let Some((name, token)) = self.special_at(&text[at..])
            {
                plain(&text[plain_from..at], out);
                out.push(token);
                at += name.len();
                plain_from = at;
            } else {
                at += 1;
            }
        }
        plain(&text[plain_from..], out);
    }

    fn special_at(&self, text: &str) -> Option<(&str, u32)> {
        let first = text.as_bytes().first()?;
        let mut candidates = self
            .specials
            .iter()
            .filter(|(name, _)| name.as_bytes().first() == Some(first));
        candidates
            .find(|(name, _)| text.starts_with(name.as_str()))
            .map(|(name, token)| (name.as_str(), *token))
    }

    fn encode_plain(&self, text: &str, out: &mut Vec<u32>) {
        match self.split {
            Split::Gpt2 => self.encode_words(text, out),
            Split::DigitsThenGpt2 => {
                let mut from = 0;
                for (at, letter) in text
                    .char_indices()
                    .filter(|(_, letter)| letter.is_numeric())
                {
                    self.encode_words(&text[from..at], out);
                    from = at + letter.len_utf8();
                    self.encode_words(&text[at..from], out);
                }
                self.encode_words(&text[from..], out);
            }
        }
    }

    fn encode_words(&self, text: &str, out: &mut Vec<u32>) {
        let mut from = 0;
        for word in self.pattern.find_iter(text) {
            // The pattern gives up only on pathological input; what it did not cut is merged as it stands.
            let Ok(word) = word else { break };
            self.merge(word.as_str(), out);
            from = word.end();
        }
        self.merge(&text[from..], out);
    }

    fn merge(&self, word: &str, out: &mut Vec<u32>) {
        for part in word.as_bytes().chunks(WORD_BYTES_MAX) {
            self.merge_part(part, out);
        }
    }

    /// Joins neighbours, lowest rank first, leftmost among equals, until no pair has a merge.
    fn merge_part(&self, word: &[u8], out: &mut Vec<u32>) {
        const NONE: usize = usize::MAX;
        struct Symbol {
            token: u32,
            before: usize,
            after: usize,
            alive: bool,
        }
        let last = word.len().wrapping_sub(1);
        let mut symbols: Vec<Symbol> = word
            .iter()
            .enumerate()
            .map(|(at, byte)| Symbol {
                token: self.byte_tokens[usize::from(*byte)],
                before: at.checked_sub(1).unwrap_or(NONE),
                after: if at == last { NONE } else { at + 1 },
                alive: true,
            })
            .collect();
        let mut queue = BinaryHeap::new();
        let offer = |queue: &mut BinaryHeap<_>, symbols: &[Symbol], left: usize| {
            let right = symbols[left].after;
            if right == NONE {
                return;
            }
            let pair = (symbols[left].token, symbols[right].token);
            if let Some(merge) = self.merges.get(&pair) {
                queue.push(Reverse((merge.rank, left, pair, merge.token)));
            }
        };
        (0..symbols.len()).for_each(|left| offer(&mut queue, &symbols, left));
        while let Some(Reverse((_, left, pair, token))) = queue.pop() {
            let right = symbols[left].after;
            // An offer is stale once either side has changed.
            let fresh = symbols[left].alive
                && right != NONE
                && (symbols[left].token, symbols[right].token) == pair;
            if !fresh {
                continue;
            }
            let after = symbols[right].after;
            symbols[right].alive = false;
            symbols[left].token = token;
            symbols[left].after = after;
            if after != NONE {
                symbols[after].before = left;
            }
            offer(&mut queue, &symbols, left);
            if symbols[left].before != NONE {
                offer(&mut queue, &symbols, symbols[left].before);
            }
        }
        out.extend(
            symbols
                .iter()
                .filter(|symbol| symbol.alive)
                .map(|symbol| symbol.token),
        );
    }
}

fn kinds(file: &Gguf, count: usize) -> Result<Vec<i64>, LoadError> {
    const KEY: &str = "tokenizer.ggml.token_type";
    let kinds = match file.value(KEY) {
        None => vec![1; count],
        Some(Value::Array(Array::Signed(kinds))) => kinds.clone(),
        Some(_) => {
            return Err(LoadError::Inconsistent(format!(
                "{KEY} is not an array of integers"
            )));
        }
    };
    if kinds.len() != count {
        return Err(LoadError::Inconsistent(format!(
            "{} token types for {count} tokens",
            kinds.len()
        )));
    }
    Ok(kinds)
}

fn merges(
    file: &Gguf,
    by_name: &HashMap<&str, u32>,
) -> Result<HashMap<(u32, u32), Merge>, LoadError> {
    let mut merges = HashMap::new();
    for (line, rank) in file.texts("tokenizer.ggml.merges")?.iter().zip(0..) {
        let wrong = || {
            LoadError::Inconsistent(format!(
                "merge {rank}, {line:?}, does not join two known tokens"
            ))
        };
        let (left, right) = line.split_once(' ').ok_or_else(wrong)?;
        let token = |name: &str| by_name.get(name).copied().ok_or_else(wrong);
        let merge = Merge {
            rank,
            token: token(&format!("{left}{right}"))?,
        };
        merges.entry((token(left)?, token(right)?)).or_insert(merge);
    }
    Ok(merges)
}

/// The visible letter GPT-2 writes for each byte: printable ones are themselves, the others follow from U+0100.
fn byte_letters() -> [char; 256] {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        let byte = byte as u8;
        match byte {
            b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
            _ => {
                let letter = char::from_u32(next).unwrap_or(char::REPLACEMENT_CHARACTER);
                next += 1;
                letter
            }
        }
    })
}

fn token_bytes(name: &str, letter_bytes: &HashMap<char, u8>) -> Box<[u8]> {
    let bytes: Option<Box<[u8]>> = name
        .chars()
        .map(|letter| letter_bytes.get(&letter).copied())
        .collect();
    // A token outside the byte alphabet stands for itself.
    bytes.unwrap_or_else(|| name.as_bytes().into())
}
