//! From a text to the languages that have it, in one probe. Made once; reading it allocates nothing.

/// One bit for each profile.
pub(super) type Mask = u64;

/// A hash table of static texts with open addressing, at most half full.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Option<(&'static str, Mask)>>,
}

impl Table {
    pub(super) fn new(entries: impl Iterator<Item = (&'static str, Mask)>) -> Self {
        let entries = merge(entries);
        let mut table = Self {
            slots: vec![None; (entries.len() * 2).next_power_of_two()],
        };
        for (key, mask) in entries {
            let hash = key.bytes().rev().fold(SEED, mix);
            let slot = table.slot(hash, key);
            table.slots[slot] = Some((key, mask));
        }
        table
    }

    pub(super) fn get(&self, key: &str) -> Option<Mask> {
        self.probe(key.bytes().rev().fold(SEED, mix), key)
    }

    /// Looks up the last two to `characters_max` characters of a longer word. Texts are hashed from their end, so that
    /// one walk serves all.
    pub(super) fn each_ending(
        &self,
        word: &str,
        characters_max: usize,
        mut found: impl FnMut(Mask),
    ) {
        let mut hash = SEED;
        let mut characters = 0;
        for (start, byte) in word.bytes().enumerate().rev() {
            hash = mix(hash, byte);
            if !word.is_char_boundary(start) {
                continue;
            }
            characters += 1;
            if start == 0 || characters > characters_max {
                return;
            }
            if characters > 1
                && let Some(mask) = self.probe(hash, &word[start..])
            {
                found(mask);
            }
        }
    }

    fn probe(&self, hash: u32, key: &str) -> Option<Mask> {
        self.slots[self.slot(hash, key)].map(|(_, mask)| mask)
    }

    /// The key's slot, or the free one where it would be.
    fn slot(&self, hash: u32, key: &str) -> usize {
        let last = self.slots.len() - 1;
        let mut slot = hash as usize & last;
        while self.slots[slot].is_some_and(|(known, _)| known != key) {
            slot = (slot + 1) & last;
        }
        slot
    }
}

const SEED: u32 = 0x811C_9DC5;

/// FNV-1a, with the high bits folded down: the table looks at the low ones.
const fn mix(hash: u32, byte: u8) -> u32 {
    let hash = (hash ^ byte as u32).wrapping_mul(0x0100_0193);
    hash ^ (hash >> 15)
}

/// Sorted, the masks of equal keys united.
pub(super) fn merge<K: Ord>(entries: impl Iterator<Item = (K, Mask)>) -> Vec<(K, Mask)> {
    let mut all: Vec<(K, Mask)> = entries.collect();
    all.sort_unstable();
    let mut merged: Vec<(K, Mask)> = Vec::with_capacity(all.len());
    for (key, mask) in all {
        match merged.last_mut() {
            Some((known, united)) if *known == key => *united |= mask,
            _ => merged.push((key, mask)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn what_was_put_in_is_found_and_nothing_else() {
        let keys = ["a", "ab", "ba", "é", "éa"];
        let table = Table::new((0_u32..).zip(keys).map(|(bit, key)| (key, 1 << bit)));
        for (bit, key) in keys.iter().enumerate() {
            assert_eq!(table.get(key), Some(1 << bit), "{key}");
        }
        for key in ["", "b", "aba", "e"] {
            assert_eq!(table.get(key), None, "{key}");
        }
    }

    #[test]
    fn endings_of_two_to_five_characters_are_found() {
        let table = Table::new(["é", "éa", "xéa", "abcéa"].map(|key| (key, 1)).into_iter());
        let count = |word: &str| {
            let mut count = 0;
            table.each_ending(word, 5, |_| count += 1);
            count
        };
        // A whole word is no ending of itself, nor is one character, nor are six.
        assert_eq!(
            [
                count("éa"),
                count("xéa"),
                count("zxéa"),
                count("zabcéa"),
                count("é")
            ],
            [0, 1, 2, 2, 0]
        );
    }
}
