//! What a seed makes of a random stream: its guards, what each field of each choice says, and what a client is to have.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::guards::{Guard, Manner};
use super::random::Random;

/// What a stream is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Guards of every manner: the client has the masked whole.
    Masked,
    /// Guards that hold too much and too long: the bounds hold.
    Bounded,
    /// Guards that find nothing: the bytes are the provider's.
    Clean,
    /// A guard that cuts: the choice ends in the dialect.
    Cut,
}

impl Kind {
    /// All of them, the more telling ones more often.
    const TURNS: [Self; 8] = [
        Self::Masked,
        Self::Bounded,
        Self::Masked,
        Self::Clean,
        Self::Bounded,
        Self::Masked,
        Self::Cut,
        Self::Bounded,
    ];

    /// What the stream of a seed is to show.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self::TURNS[(seed % Self::TURNS.len() as u64) as usize]
    }

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Masked => "masked",
            Self::Bounded => "bounded",
            Self::Clean => "clean",
            Self::Cut => "cut",
        }
    }
}

const LETTERS: [&[char]; 3] = [&['a'], &['x', 'ü'], &['q', 'k', '🔑']];
const SECRETS: [&str; 5] = ["sk-Ünïq-41🔑1", "aab", "abab", "say \"it\"\n", "x"];
const MASKS: [&str; 5] = ["[KEY]", "", "[\"gone\"\n]", "🔒", "a"];
const WORD: &str = "stop now";
pub(super) const NAME: &str = "ask_kay";
/// What texts are made of, beside secrets and their beginnings.
const PIECES: [&str; 12] = [
    "plain words ",
    "a",
    "ab",
    "xü",
    "qk🔑",
    "\"\\/\n\t",
    "ünï ",
    " ",
    "stop",
    "1e-5",
    "{\"a\":[",
    "stop now",
];
/// Where nothing is to be found: no secret, letter or word.
const CLEAN: [&str; 5] = ["Word ", "öß ", "LONGER ", "2.50 ", "\"\\\n"];
/// The first of them, which JSON spells as they are: half an escape, or half a number, is held.
const CLEAN_ARGUMENTS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Content,
    Reasoning,
    Refusal,
    Call(u64),
}

/// What one field of one choice says.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) choice: u32,
    pub(super) field: Field,
    pub(super) fragments: VecDeque<String>,
    pub(super) begun: bool,
    /// Its JSON is spelled as the engine spells it.
    pub(super) is_plain: bool,
    /// What the client is to have.
    pub(super) wanted: Wanted,
    /// Bytes that the client is to have of what came, and when it came.
    pub(super) arrived: Vec<(usize, u64)>,
}

#[derive(Debug)]
pub(super) enum Wanted {
    Text(Expected),
    Arguments {
        name: Expected,
        value: Value,
        cut: bool,
    },
}

/// A masked text, and whether a guard cuts in it.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) text: String,
    pub(super) cut: bool,
}

pub(super) fn guards(kind: Kind, random: &mut Random) -> Vec<Guard> {
    let long = 1_000_000;
    let secret = |random: &mut Random| {
        let secret = (*random.pick(&SECRETS)).to_owned();
        let bytes = u32::try_from(secret.len() - 1).unwrap_or_default();
        let mask = (*random.pick(&MASKS)).to_owned();
        Guard::new(Manner::Secret { secret, mask }, bytes, long)
    };
    let letters = |random: &mut Random| {
        let (bytes, ms) = (random.below(40), random.below(300));
        let bound = |value: usize| u32::try_from(value).unwrap_or_default();
        let letters: &&[char] = random.pick(&LETTERS);
        let manner = Manner::Letters(letters);
        Guard::new(manner, bound(bytes), bound(ms))
    };
    let count = 1 + random.below(4);
    let mut guards: Vec<Guard> = (0..count)
        .map(|_| match (kind, random.below(4)) {
            (Kind::Clean, 0) => secret(random),
            (Kind::Clean, _) | (Kind::Bounded, 0) => Guard::new(Manner::Pass, 0, 100),
            (Kind::Bounded, _) | (_, 0) => letters(random),
            (_, 1) if random.one_in(4) => Guard::new(Manner::Whole, u32::MAX, 0),
            (_, _) => secret(random),
        })
        .collect();
    if kind == Kind::Cut {
        let bytes = u32::try_from(WORD.len() - 1).unwrap_or_default();
        let cut = Guard::new(Manner::Cut(WORD.to_owned()), bytes, long);
        guards.insert(random.below(guards.len() + 1), cut);
    }
    guards
}

fn text(kind: Kind, random: &mut Random) -> String {
    text_of(kind, &CLEAN, random)
}

fn text_of(kind: Kind, clean: &[&str], random: &mut Random) -> String {
    let count = random.below(9);
    let piece = |random: &mut Random| -> String {
        if kind == Kind::Clean {
            return (*random.pick(clean)).to_owned();
        }
        match random.below(4) {
            0 => (*random.pick(&SECRETS)).to_owned(),
            1 => {
                let secret = *random.pick(&SECRETS);
                secret[..random.border(secret)].to_owned()
            }
            _ => (*random.pick(&PIECES)).to_owned(),
        }
    };
    let word = |piece: String| {
        if kind == Kind::Cut {
            piece
        } else {
            piece.replace(WORD, "go on")
        }
    };
    (0..count).map(|_| word(piece(random))).collect()
}

fn arguments(kind: Kind, random: &mut Random, depth: usize) -> Value {
    let text = |random: &mut Random| text_of(kind, &CLEAN[..CLEAN_ARGUMENTS], random);
    match random.below(if depth < 3 { 8 } else { 6 }) {
        0 => Value::Null,
        2 if kind == Kind::Clean => json!(false),
        1 => json!(random.one_in(2)),
        2 => json!((random.word() >> 40) as i64 - (1 << 20)),
        3..6 => text(random).into(),
        6 => (0..random.below(4))
            .map(|_| arguments(kind, random, depth + 1))
            .collect(),
        _ => {
            let count = random.below(4);
            let mut members = serde_json::Map::new();
            for at in 0..count {
                let key = format!("{at}{}", text(random));
                members.insert(key, arguments(kind, random, depth + 1));
            }
            Value::Object(members)
        }
    }
}

/// JSON text, with characters escaped at will, as providers do.
fn spell(value: &Value, random: &mut Random) -> String {
    let plain = value.to_string();
    let (ascii, odd) = (random.one_in(2), random.one_in(2));
    let mut out = String::new();
    let mut escaped = false;
    let mut inside = false;
    for character in plain.chars() {
        let may = inside && !escaped && !matches!(character, '"' | '\\');
        if !character.is_ascii() && ascii || may && odd && random.one_in(5) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(character);
        }
        if character == '"' && !escaped {
            inside = !inside;
        }
        escaped = character == '\\' && !escaped;
    }
    out
}

pub(super) fn expected(guards: &[Guard], text: &str) -> Expected {
    let mut all = Expected {
        text: text.to_owned(),
        cut: false,
    };
    for guard in guards {
        if let Manner::Cut(word) = &guard.manner
            && let Some(at) = all.text.find(word.as_str())
        {
            all.text.truncate(at);
            all.cut = true;
        }
        all.text = guard.masked(&all.text);
    }
    all
}

fn masked(guards: &[Guard], value: &Value, cut: &mut bool) -> Value {
    let text = |text: &str, cut: &mut bool| {
        let expected = expected(guards, text);
        *cut |= expected.cut;
        expected.text
    };
    match value {
        Value::String(string) => text(string, cut).into(),
        Value::Array(items) => items.iter().map(|item| masked(guards, item, cut)).collect(),
        Value::Object(members) => {
            let mut told = serde_json::Map::new();
            for (key, value) in members {
                told.insert(text(key, cut), masked(guards, value, cut));
            }
            Value::Object(told)
        }
        other => other.clone(),
    }
}

pub(super) fn sources(kind: Kind, guards: &[Guard], random: &mut Random) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut add = |choice, field, text: &str, is_plain, wanted, random: &mut Random| {
        let most = if random.one_in(8) { 60 } else { 10 };
        let count = 1 + random.below(most);
        let fragments = random.pieces(text, count);
        if !fragments.is_empty() {
            sources.push(Source {
                choice,
                field,
                fragments: fragments.into(),
                begun: false,
                is_plain,
                wanted,
                arrived: Vec::new(),
            });
        }
    };
    for choice in 0..=u32::try_from(random.below(3)).unwrap_or_default() {
        for field in [Field::Content, Field::Reasoning, Field::Refusal] {
            if field == Field::Content || random.one_in(3) {
                let text = text(kind, random);
                let wanted = Wanted::Text(expected(guards, &text));
                add(choice, field, &text, true, wanted, random);
            }
        }
        for call in 0..random.below(5).saturating_sub(1) as u64 {
            let value = arguments(kind, random, 0);
            let mut cut = false;
            let wanted = Wanted::Arguments {
                name: expected(guards, NAME),
                value: masked(guards, &value, &mut cut),
                cut,
            };
            let plain = value.to_string();
            let spelled = if kind == Kind::Clean {
                plain.clone()
            } else {
                spell(&value, random)
            };
            add(
                choice,
                Field::Call(call),
                &spelled,
                plain == spelled,
                wanted,
                random,
            );
        }
    }
    sources
}

impl Field {
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Reasoning => "reasoning_content",
            Self::Refusal => "refusal",
            Self::Call(_) => "tool_calls",
        }
    }
}

impl Source {
    pub(super) const fn is_cut(&self) -> bool {
        match &self.wanted {
            Wanted::Text(expected) => expected.cut,
            Wanted::Arguments { name, cut, .. } => name.cut || *cut,
        }
    }
}
