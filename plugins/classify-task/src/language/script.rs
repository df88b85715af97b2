//! Which script a text is written in, by the letters' code blocks.

/// A script; those that Unicode splits but one language mixes are one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Script {
    Latin,
    Cyrillic,
    Arabic,
    Devanagari,
    Greek,
    Hebrew,
    Armenian,
    Georgian,
    Bengali,
    Gurmukhi,
    Gujarati,
    Oriya,
    Tamil,
    Telugu,
    Kannada,
    Malayalam,
    Sinhala,
    Thai,
    Lao,
    Tibetan,
    Burmese,
    Khmer,
    Ethiopic,
    Hangul,
    Kana,
    Han,
}

/// Blocks of letters by rising first code point: first, last, script. Digits and stops are left out.
const BLOCKS: [(char, char, Script); 40] = [
    ('A', 'Z', Script::Latin),
    ('a', 'z', Script::Latin),
    ('\u{aa}', '\u{aa}', Script::Latin),
    ('\u{ba}', '\u{ba}', Script::Latin),
    ('\u{c0}', '\u{d6}', Script::Latin),
    ('\u{d8}', '\u{f6}', Script::Latin),
    ('\u{f8}', '\u{24f}', Script::Latin),
    ('\u{370}', '\u{3ff}', Script::Greek),
    ('\u{400}', '\u{52f}', Script::Cyrillic),
    ('\u{531}', '\u{58f}', Script::Armenian),
    ('\u{5d0}', '\u{5f4}', Script::Hebrew),
    ('\u{620}', '\u{65f}', Script::Arabic),
    ('\u{66e}', '\u{6d3}', Script::Arabic),
    ('\u{6d5}', '\u{6ef}', Script::Arabic),
    ('\u{6fa}', '\u{6ff}', Script::Arabic),
    ('\u{750}', '\u{77f}', Script::Arabic),
    ('\u{900}', '\u{963}', Script::Devanagari),
    ('\u{970}', '\u{97f}', Script::Devanagari),
    ('\u{980}', '\u{9ff}', Script::Bengali),
    ('\u{a00}', '\u{a7f}', Script::Gurmukhi),
    ('\u{a80}', '\u{aff}', Script::Gujarati),
    ('\u{b00}', '\u{b7f}', Script::Oriya),
    ('\u{b80}', '\u{bff}', Script::Tamil),
    ('\u{c00}', '\u{c7f}', Script::Telugu),
    ('\u{c80}', '\u{cff}', Script::Kannada),
    ('\u{d00}', '\u{d7f}', Script::Malayalam),
    ('\u{d80}', '\u{dff}', Script::Sinhala),
    ('\u{e00}', '\u{e7f}', Script::Thai),
    ('\u{e80}', '\u{eff}', Script::Lao),
    ('\u{f00}', '\u{fff}', Script::Tibetan),
    ('\u{1000}', '\u{109f}', Script::Burmese),
    ('\u{10a0}', '\u{10ff}', Script::Georgian),
    ('\u{1100}', '\u{11ff}', Script::Hangul),
    ('\u{1200}', '\u{139f}', Script::Ethiopic),
    ('\u{1780}', '\u{17ff}', Script::Khmer),
    ('\u{1e00}', '\u{1eff}', Script::Latin),
    ('\u{1f00}', '\u{1fff}', Script::Greek),
    ('\u{3041}', '\u{30ff}', Script::Kana),
    ('\u{3400}', '\u{9fff}', Script::Han),
    ('\u{ac00}', '\u{d7a3}', Script::Hangul),
];

/// Scripts, for counting.
const SCRIPTS: usize = Script::Han as usize + 1;

impl Script {
    /// The language, where one alone uses the script or by far the most of its text is in it.
    pub(crate) const fn only_language(self) -> Option<&'static str> {
        Some(match self {
            Self::Latin | Self::Cyrillic | Self::Arabic | Self::Devanagari => return None,
            Self::Greek => "el",
            Self::Hebrew => "he",
            Self::Armenian => "hy",
            Self::Georgian => "ka",
            Self::Bengali => "bn",
            Self::Gurmukhi => "pa",
            Self::Gujarati => "gu",
            Self::Oriya => "or",
            Self::Tamil => "ta",
            Self::Telugu => "te",
            Self::Kannada => "kn",
            Self::Malayalam => "ml",
            Self::Sinhala => "si",
            Self::Thai => "th",
            Self::Lao => "lo",
            Self::Tibetan => "bo",
            Self::Burmese => "my",
            Self::Khmer => "km",
            Self::Ethiopic => "am",
            Self::Hangul => "ko",
            Self::Kana => "ja",
            Self::Han => "zh",
        })
    }

    /// The language to guess where the script is all there is to go by. Latin serves too many.
    pub(crate) const fn likeliest_language(self) -> Option<&'static str> {
        match self {
            Self::Cyrillic => Some("ru"),
            Self::Arabic => Some("ar"),
            Self::Devanagari => Some("hi"),
            _ => self.only_language(),
        }
    }

    /// About how many Latin letters say as much as one of this script.
    const fn weight(self) -> u32 {
        match self {
            Self::Han => 3,
            Self::Kana | Self::Hangul => 2,
            _ => 1,
        }
    }
}

/// Whether a character is part of a word.
pub(crate) fn is_letter(character: char) -> bool {
    of_character(character).is_some()
}

/// The script of most of the text and its share of it; none where there are no letters.
pub(crate) fn of(text: &str) -> Option<(Script, f32)> {
    if text.is_ascii() {
        let has_letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
        return has_letter.then_some((Script::Latin, 1.0));
    }
    let mut counts = [(0_u32, None); SCRIPTS];
    for script in text.chars().filter_map(of_character) {
        let (count, seen) = &mut counts[script as usize];
        *count = count.saturating_add(script.weight());
        *seen = Some(script);
    }
    // Japanese mixes both; its grammar is in kana, so a text of Han alone is Chinese.
    let (kana, han) = (
        counts[Script::Kana as usize].0,
        counts[Script::Han as usize].0,
    );
    if kana * 8 >= han {
        counts[Script::Kana as usize].0 += han;
        counts[Script::Han as usize].0 = 0;
    }
    let total: u32 = counts.iter().map(|(count, _)| count).sum();
    let (count, script) = counts.into_iter().max_by_key(|(count, _)| *count)?;
    Some((script?, count as f32 / total.max(1) as f32))
}

fn of_character(character: char) -> Option<Script> {
    if character.is_ascii() {
        return character.is_ascii_alphabetic().then_some(Script::Latin);
    }
    let after = BLOCKS.partition_point(|(first, ..)| *first <= character);
    let (_, last, script) = BLOCKS[after.checked_sub(1)?];
    (character <= last).then_some(script)
}
