//! The configuration, as the operator writes it and as decisions use it.

use pointsman_guard::Act;
use serde::Deserialize;

/// Lists of one step, so that labels stay within the host's bound.
const LISTS_MAX: usize = 32;
/// Words and patterns of all lists.
const WORDS_MAX: usize = 20_000;
const PATTERNS_MAX: usize = 256;
/// Bytes of a word, so that it fits into what a stream may hold back.
const WORD_BYTES_MAX: usize = 128;
const PATTERN_BYTES_MAX: usize = 1_024;
const PLACEHOLDER_BYTES_MAX: usize = 64;

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    lists: Vec<ListConfig>,
}

/// One list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ListConfig {
    name: String,
    #[serde(default)]
    words: Vec<String>,
    #[serde(default)]
    patterns: Vec<String>,
    act: Act,
    /// Finds from which it denies.
    #[serde(default = "one")]
    at_least: u32,
    placeholder: Option<String>,
}

const fn one() -> u32 {
    1
}

/// What decisions use of a list.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) name: String,
    pub(crate) act: Act,
    pub(crate) at_least: u32,
    pub(crate) placeholder: String,
}

/// The lists, and their words and patterns with the lists' numbers.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) lists: Vec<List>,
    pub(crate) words: Vec<(String, usize)>,
    pub(crate) patterns: Vec<(String, usize)>,
}

impl Settings {
    /// Checks a configuration.
    ///
    /// # Errors
    /// Which list is wrong and what is allowed there.
    pub(crate) fn new(config: Config) -> Result<Self, String> {
        let mut settings = Self {
            lists: Vec::new(),
            words: Vec::new(),
            patterns: Vec::new(),
        };
        if !(1..=LISTS_MAX).contains(&config.lists.len()) {
            return Err(format!("lists: write 1 to {LISTS_MAX}"));
        }
        for list in config.lists {
            let name = list.name.clone();
            settings
                .add(list)
                .map_err(|error| format!("list `{name}`: {error}"))?;
        }
        if settings.words.len() > WORDS_MAX || settings.patterns.len() > PATTERNS_MAX {
            return Err(format!(
                "lists: at most {WORDS_MAX} words and {PATTERNS_MAX} patterns in all"
            ));
        }
        if settings.words.is_empty() && settings.patterns.is_empty() {
            return Err("lists: all are \"off\", so nothing is ever found".to_owned());
        }
        Ok(settings)
    }

    fn add(&mut self, list: ListConfig) -> Result<(), String> {
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if list.name.is_empty() || list.name.len() > 32 || !list.name.bytes().all(is_name) {
            return Err("name: 1 to 32 of a to z, 0 to 9 and -".to_owned());
        }
        if self.lists.iter().any(|known| known.name == list.name) {
            return Err("there are two of this name".to_owned());
        }
        if list.words.is_empty() && list.patterns.is_empty() {
            return Err("has neither words nor patterns".to_owned());
        }
        if list.at_least == 0 || (list.at_least > 1 && list.act != Act::Deny) {
            return Err(
                "at-least: 1 or more, and more than 1 with act = \"deny\" alone".to_owned(),
            );
        }
        if let Some(word) = list
            .words
            .iter()
            .find(|word| word.trim().is_empty() || word.len() > WORD_BYTES_MAX)
        {
            return Err(format!("words: `{word}`: 1 to {WORD_BYTES_MAX} bytes"));
        }
        if list
            .patterns
            .iter()
            .any(|pattern| pattern.len() > PATTERN_BYTES_MAX)
        {
            return Err(format!("patterns: at most {PATTERN_BYTES_MAX} bytes each"));
        }
        let placeholder = list.placeholder.unwrap_or_else(|| "***".to_owned());
        if placeholder.len() > PLACEHOLDER_BYTES_MAX {
            return Err(format!(
                "placeholder: at most {PLACEHOLDER_BYTES_MAX} bytes"
            ));
        }
        let number = self.lists.len();
        if list.act != Act::Off {
            self.words
                .extend(list.words.into_iter().map(|word| (word, number)));
            self.patterns
                .extend(list.patterns.into_iter().map(|pattern| (pattern, number)));
        }
        self.lists.push(List {
            name: list.name,
            act: list.act,
            at_least: list.at_least,
            placeholder,
        });
        Ok(())
    }
}
