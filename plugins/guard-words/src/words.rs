//! Words and phrases as a tree of characters: whole words, any case, any white space between those of a phrase.

use crate::found::Found;

/// What an edge leads to.
#[derive(Debug, Default)]
struct Node {
    /// Sorted by character.
    edges: Vec<(char, usize)>,
    /// A word ends here: its list.
    list: Option<usize>,
    /// The last character goes on with a word where one follows.
    ends_in_word: bool,
}

/// Every word of every list.
#[derive(Debug)]
pub(crate) struct Words {
    nodes: Vec<Node>,
    /// ASCII characters that a word begins with, and whether any other does.
    begins: [bool; 128],
    begins_beyond: bool,
}

impl Words {
    pub(crate) fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
            begins: [false; 128],
            begins_beyond: false,
        }
    }

    /// Adds a word of a list; of a word in several lists the first counts.
    pub(crate) fn add(&mut self, word: &str, list: usize) {
        let mut node = 0;
        let spaced = word.split_whitespace().collect::<Vec<_>>().join(" ");
        for character in spaced.chars().flat_map(char::to_lowercase) {
            if node == 0 {
                self.begin(character);
            }
            node = match self.nodes[node]
                .edges
                .binary_search_by_key(&character, |edge| edge.0)
            {
                Ok(index) => self.nodes[node].edges[index].1,
                Err(index) => {
                    let new = self.nodes.len();
                    self.nodes.push(Node {
                        ends_in_word: goes_on(character),
                        ..Node::default()
                    });
                    self.nodes[node].edges.insert(index, (character, new));
                    new
                }
            };
        }
        self.nodes[node].list.get_or_insert(list);
    }

    fn begin(&mut self, character: char) {
        match self.begins.get_mut(character as usize) {
            Some(begins) => *begins = true,
            None => self.begins_beyond = true,
        }
    }

    /// Whether a word may begin with this byte of a text.
    pub(crate) fn may_begin(&self, byte: u8) -> bool {
        self.begins
            .get(usize::from(byte.to_ascii_lowercase()))
            .map_or(self.begins_beyond, |begins| *begins)
    }

    /// The longest word that begins at `at`.
    pub(crate) fn see(&self, text: &str, at: usize, complete: bool) -> Found {
        let inside = text[..at].chars().next_back().is_some_and(goes_on);
        let mut found = Found::Nothing;
        let mut node = 0;
        let mut rest = text[at..].char_indices().peekable();
        while let Some((place, character)) = rest.next() {
            // In the middle of a word none begins, but what is no word itself may.
            if place == 0 && inside && goes_on(character) {
                return Found::Nothing;
            }
            let next = if character.is_whitespace() {
                while rest.next_if(|(_, next)| next.is_whitespace()).is_some() {}
                self.step(node, ' ')
            } else {
                character
                    .to_lowercase()
                    .try_fold(node, |node, lower| self.step(node, lower).ok_or(()))
                    .ok()
            };
            let Some(next) = next else {
                return found;
            };
            node = next;
            let follows = rest.peek().map(|(_, next)| *next);
            if let Some(list) = self.nodes[node].list
                && !(self.nodes[node].ends_in_word && follows.is_some_and(goes_on))
            {
                let end = rest.peek().map_or(text.len(), |(place, _)| at + place);
                found = Found::Here {
                    list,
                    bytes: end - at,
                };
            }
        }
        if complete { found } else { Found::More }
    }

    fn step(&self, node: usize, character: char) -> Option<usize> {
        let edges = &self.nodes[node].edges;
        let index = edges.binary_search_by_key(&character, |edge| edge.0).ok()?;
        Some(edges[index].1)
    }
}

/// Whether a character goes on with a word.
fn goes_on(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
