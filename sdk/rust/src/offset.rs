//! Character and byte offsets. The contract counts bytes on UTF-8 borders; people and some libraries count characters.

/// The byte offset of the `character`-th character, or the text's length past its end.
#[must_use]
pub fn byte_of_character(text: &str, character: usize) -> usize {
    text.char_indices()
        .nth(character)
        .map_or(text.len(), |(byte, _)| byte)
}

/// How many characters begin before `byte`.
#[must_use]
pub fn character_of_byte(text: &str, byte: usize) -> usize {
    text.char_indices()
        .take_while(|(start, _)| *start < byte)
        .count()
}

/// The greatest UTF-8 border at or below `byte`.
#[must_use]
pub fn border_below(text: &str, byte: usize) -> usize {
    let mut border = byte.min(text.len());
    while !text.is_char_boundary(border) {
        border -= 1;
    }
    border
}

/// The least UTF-8 border at or above `byte`.
#[must_use]
pub fn border_above(text: &str, byte: usize) -> usize {
    let mut border = byte.min(text.len());
    while !text.is_char_boundary(border) {
        border += 1;
    }
    border
}

/// A length as the contract writes it; the host caps text far below 4 GiB, so nothing is lost.
#[must_use]
pub fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{border_above, border_below, byte_of_character, character_of_byte};

    #[test]
    fn characters_and_bytes_convert_both_ways() {
        let text = "aé日🦀z";
        for (character, (byte, _)) in text.char_indices().enumerate() {
            assert_eq!(byte_of_character(text, character), byte);
            assert_eq!(character_of_byte(text, byte), character);
        }
        assert_eq!(byte_of_character(text, 99), text.len());
        assert_eq!(character_of_byte(text, 99), 5);
    }

    #[test]
    fn a_byte_inside_a_character_is_moved_to_its_borders() {
        let text = "a日z";
        assert_eq!((border_below(text, 2), border_above(text, 2)), (1, 4));
        assert_eq!((border_below(text, 99), border_above(text, 99)), (5, 5));
    }
}
