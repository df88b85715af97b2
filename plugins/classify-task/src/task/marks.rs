//! Marks of structure in a text: code, formulas, sums in words, questions.

use super::{CODE, EXTRACTION, MATH, QUESTION};
use crate::complexity::Structure;
use crate::phrases::{Group, Hit};

/// Phrases that are looked for along with those of the tasks; split at `|`. "One" is mostly no number.
pub(super) const PHRASES: [(Group, &str); 2] = [
    (
        Group::Amount,
        "how many|how much|how old|how long|how far|what is the total|in total",
    ),
    (
        Group::Numeral,
        "two|three|four|five|six|seven|eight|nine|ten|twelve|twice|half|third|dozen",
    ),
];
/// Lines that are looked at.
const LINES_MAX: usize = 200;

/// Evidence for tasks, from the phrases found in a text and the text itself in lower case.
pub(super) fn of(found: &[Hit], text: &str, structure: &Structure) -> Vec<(&'static str, f32)> {
    let mut marks = Vec::new();
    // One look at the bytes spares most texts most searches.
    let signs = Signs::of(text);
    if signs.has(Signs::BACKTICK) && text.contains("```") {
        marks.push((CODE, 1.5));
    }
    let code_lines = text
        .lines()
        .take(LINES_MAX)
        .filter(|line| is_code(line))
        .count();
    if code_lines > 0 {
        marks.push((CODE, if code_lines > 2 { 2.0 } else { 0.8 }));
    }
    let mut numbers = if signs.has(Signs::NUMERIC | Signs::WIDE) {
        Numbers::of(text)
    } else {
        Numbers::NONE
    };
    let of_group = |group| found.iter().filter(move |hit| hit.group == group).count();
    numbers.count += of_group(Group::Numeral);
    if numbers.operations > 0 {
        marks.push((MATH, if numbers.operations > 1 { 3.2 } else { 2.8 }));
    }
    // A sum in words gives several numbers and asks for one more.
    let asks_amount = of_group(Group::Amount) > 0;
    let asks = signs.has(Signs::QUESTION) || (signs.has(Signs::WIDE) && text.contains(['？', '؟']));
    if asks_amount && numbers.count > 1 {
        marks.push((MATH, 3.5));
    } else if asks && numbers.count > 2 {
        marks.push((MATH, 1.2));
    }
    if asks {
        marks.push((QUESTION, 1.0));
    }
    if structure
        .format
        .as_deref()
        .is_some_and(|format| format.starts_with("json"))
    {
        marks.push((EXTRACTION, 1.0));
    }
    marks
}

/// Which bytes of interest stand anywhere in a text.
#[derive(Clone, Copy)]
struct Signs(u8);

impl Signs {
    const BACKTICK: u8 = 1;
    const QUESTION: u8 = 2;
    /// Digits and operators.
    const NUMERIC: u8 = 4;
    /// Anything but ASCII.
    const WIDE: u8 = 8;

    /// By byte.
    const TABLE: [u8; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = match byte as u8 {
                b'`' => Self::BACKTICK,
                b'?' => Self::QUESTION,
                b'0'..=b'9' | b'+' | b'*' | b'/' | b'=' | b'^' | b'-' => Self::NUMERIC,
                0x80.. => Self::WIDE,
                _ => 0,
            };
            byte += 1;
        }
        table
    };

    fn of(text: &str) -> Self {
        let signs = text.bytes().map(|byte| Self::TABLE[usize::from(byte)]);
        Self(signs.fold(0, |all, sign| all | sign))
    }

    fn has(self, any: u8) -> bool {
        self.0 & any != 0
    }
}

/// A line of code by its end or its first word.
fn is_code(line: &str) -> bool {
    let line = line.trim();
    let starts = [
        "def ",
        "fn ",
        "func ",
        "function ",
        "class ",
        "import ",
        "from ",
        "#include",
        "package ",
        "public ",
        "private ",
        "const ",
        "let ",
        "var ",
        "return ",
        "if (",
        "for (",
        "while (",
        "} else",
        "select ",
        "insert into ",
        "create table ",
        "@",
        "//",
        "/*",
        "<div",
        "<html",
        "$ ",
        "at ",
    ];
    let ends = [";", "{", "}", "};", ");", "):", "=>", "/>", "</div>"];
    let started = || starts.iter().any(|start| line.starts_with(start));
    // Prose begins with some of these words too, so one such line has to look like code otherwise.
    let signs = || line.contains(['(', '=', '{', '<', ';', '*', '"', ':']);
    (started() && signs()) || ends.iter().any(|end| line.ends_with(end))
}

/// Numbers of a text, and operations between two of them or a variable.
struct Numbers {
    count: usize,
    operations: usize,
}

impl Numbers {
    const NONE: Self = Self {
        count: 0,
        operations: 0,
    };

    fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut numbers = Self::NONE;
        let mut in_number = false;
        for (index, byte) in bytes.iter().enumerate() {
            let digit = byte.is_ascii_digit();
            // `3.14` and `1,000` are one number each.
            let joined = in_number
                && matches!(byte, b'.' | b',')
                && bytes.get(index + 1).is_some_and(u8::is_ascii_digit);
            numbers.count += usize::from(digit && !in_number);
            in_number = digit || joined;
            if matches!(byte, b'+' | b'*' | b'/' | b'=' | b'^' | b'-') {
                numbers.operations += usize::from(is_operation(bytes, index));
            }
        }
        if !text.is_ascii() {
            let signs = text.matches(['×', '÷', '√', '∫', '∑', '≤', '≥']);
            numbers.operations += signs.count();
        }
        numbers
    }
}

/// Whether an operator stands between operands: numbers, brackets, variables of one letter. `-` and `/` need spaces
/// all round, or every date, range, path and hyphen would be a sum.
fn is_operation(bytes: &[u8], at: usize) -> bool {
    let skip = |spaces: usize, byte: Option<&u8>| spaces < 2 && byte == Some(&b' ');
    let mut before = at;
    let mut spaces = 0;
    while before > 0 && skip(spaces, bytes.get(before - 1)) {
        before -= 1;
        spaces += 1;
    }
    let mut after = at + 1;
    let mut spaces_after = 0;
    while skip(spaces_after, bytes.get(after)) {
        after += 1;
        spaces_after += 1;
    }
    let left = before.checked_sub(1).and_then(|index| bytes.get(index));
    let right = bytes.get(after);
    let number = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bracket = |byte: Option<&u8>| matches!(byte, Some(b'(' | b')'));
    let beyond_left = before.checked_sub(2).and_then(|index| bytes.get(index));
    let alone = |letter: Option<&u8>, neighbour: Option<&u8>| {
        letter.is_some_and(u8::is_ascii_lowercase)
            && !neighbour.is_some_and(|byte| byte.is_ascii_lowercase() || *byte == b'_')
    };
    let left_variable = alone(left, beyond_left);
    let right_variable = alone(right, bytes.get(after + 1));
    let both = (number(left) || left_variable || bracket(left))
        && (number(right) || right_variable || bracket(right));
    match bytes[at] {
        b'-' | b'/' => both && spaces > 0 && spaces_after > 0,
        b'=' => both && (number(left) || number(right)),
        _ => both,
    }
}

#[cfg(test)]
mod tests {
    use super::{Numbers, is_code};

    #[track_caller]
    fn check(text: &str, count: usize, operations: usize) {
        let numbers = Numbers::of(text);
        assert_eq!(
            (numbers.count, numbers.operations),
            (count, operations),
            "{text}"
        );
    }

    #[test]
    fn numbers_and_operations_are_counted() {
        check("3 + 4", 2, 1);
        check("3.14 * 1,000", 2, 1);
        check("2x + 5 = 11", 3, 2);
        check("f(x) = x^2", 1, 1);
        check("17 - 9", 2, 1);
        check("from 2019-2021, it ended 3-2", 4, 0);
        check("on 2024-05-06", 3, 0);
        check("05/06/2024", 3, 0);
        check("a well-known and/or c-3po", 1, 0);
        check("https://a.b/c/d", 0, 0);
        check("", 0, 0);
    }

    #[test]
    fn code_lines_are_told_from_prose() {
        for line in [
            "fn main() {",
            "let x = 3;",
            "def f(a):",
            "import os; x",
            "select * from t",
            "}",
        ] {
            assert!(is_code(line), "{line}");
        }
        for line in [
            "from paris with love",
            "let me know",
            "if you like",
            "return to sender",
            "class of 99",
        ] {
            assert!(!is_code(line), "{line}");
        }
    }
}
