//! JSON pointers (RFC 6901), as paths of leaves.

/// Adds a member to a JSON pointer.
pub(crate) fn push_key(path: &mut String, key: &str) {
    path.push('/');
    for character in key.chars() {
        match character {
            '~' => path.push_str("~0"),
            '/' => path.push_str("~1"),
            plain => path.push(plain),
        }
    }
}
