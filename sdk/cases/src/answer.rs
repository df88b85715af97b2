//! A case's answer through a response guard: as given, then whole, character by character, and split in two at every
//! character. What is released must not depend on it, unless the answer is cut.

use serde_json::{Map, Value as Json};

/// Text of one channel between provider and client.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    held: String,
    released: String,
}

impl Flow {
    /// New text, held until it is taken.
    pub fn give(&mut self, text: &str) {
        self.held.push_str(text);
    }

    /// Takes the next `bytes` of what is held.
    ///
    /// # Errors
    /// When they are more than is held, or end inside a character.
    pub fn take(&mut self, bytes: u32) -> Result<String, String> {
        let bytes = bytes as usize;
        if !self.held.is_char_boundary(bytes) {
            return Err(format!(
                "{bytes} bytes are taken of {:?}: more than is held, or inside a character",
                self.held
            ));
        }
        Ok(self.held.drain(..bytes).collect())
    }

    /// Lets text through to the client.
    pub fn release(&mut self, text: &str) {
        self.released.push_str(text);
    }

    /// What the guard holds.
    #[must_use]
    pub fn held(&self) -> &str {
        &self.held
    }

    /// What the client has.
    #[must_use]
    pub fn released(&self) -> &str {
        &self.released
    }

    /// Whether what is held is within what `covers` declared.
    ///
    /// # Errors
    /// How much is held.
    pub fn within(&self, hold_back_bytes: u32) -> Result<(), String> {
        if self.held.len() <= hold_back_bytes as usize {
            return Ok(());
        }
        Err(format!(
            "it holds {} bytes, and `covers` declared {hold_back_bytes}",
            self.held.len()
        ))
    }

    /// Whether nothing is held any more.
    ///
    /// # Errors
    /// What still is.
    pub fn resolved(&self) -> Result<(), String> {
        if self.held.is_empty() {
            return Ok(());
        }
        Err(format!("it still holds {:?}", self.held))
    }
}

/// What came of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guarded {
    /// What the client has.
    pub released: String,
    /// The code of the reason why it was cut, if it was.
    pub cut: Option<String>,
    /// Labels that the guard noted.
    pub notes: Map<String, Json>,
}

impl Guarded {
    /// Whether the answer in other pieces came to the same.
    ///
    /// # Errors
    /// What depends on the pieces.
    pub fn agree(&self, again: &Self, way: &[&str]) -> Result<(), String> {
        let what = if self.cut != again.cut {
            "whether it is cut"
        } else if self.cut.is_none() && self.released != again.released {
            "what is released"
        } else {
            return Ok(());
        };
        Err(format!(
            "{what} depends on how the answer was split: {way:?}"
        ))
    }
}

/// The other ways in which these deltas can come: whole, character by character, in two at every character.
#[must_use]
pub fn ways(whole: &str) -> Vec<Vec<&str>> {
    let mut ways = vec![vec![whole]];
    ways.push(whole.split("").filter(|piece| !piece.is_empty()).collect());
    let borders = whole.char_indices().skip(1);
    ways.extend(borders.map(|(at, _)| vec![&whole[..at], &whole[at..]]));
    ways
}
