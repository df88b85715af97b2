//! Rust text, read by line: enough for rules about it, and no more. Formatted code is assumed, which CI checks first.

/// A Rust file taken apart.
#[derive(Debug)]
pub struct Source<'a> {
    /// The lines before its inline tests.
    pub code: Vec<&'a str>,
}

/// A function's place and size.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its first line, from 1.
    pub line: usize,
    /// Its lines, signature and braces included; rows of a table are not counted.
    pub lines: usize,
}

/// Whether all of a file is tests, or an aid of tests.
#[must_use]
pub fn is_test_file(file: &str) -> bool {
    let in_tests =
        file.starts_with("tests/") || file.contains("/tests/") || file.contains("/examples/");
    in_tests || file.ends_with("/tests.rs")
}

impl<'a> Source<'a> {
    /// Splits off the inline tests, which are the last item of a file.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let tests = lines.windows(2).position(|pair| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        });
        let end = tests.unwrap_or(lines.len());
        Self {
            code: lines[..end].to_vec(),
        }
    }
}

/// A line without its comment; what is in strings stays.
#[must_use]
pub fn code_of(line: &str) -> &str {
    let trimmed = line.trim_start();
    if trimmed.starts_with("//") {
        return "";
    }
    // A `//` after a space begins a comment; one in a string is seldom after a space.
    line.split_once(" // ").map_or(line, |(code, _)| code)
}

/// Functions of the given lines: from `fn` to the closing brace at the same indentation.
#[must_use]
pub fn functions(lines: &[&str]) -> Vec<Function> {
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        let closing = format!("{indent}}}");
        // A declaration without a body ends with a semicolon before any brace.
        let end = lines[index..].iter().position(|line| {
            *line == closing || (line.ends_with(';') && is_head(&lines[index..], line))
        });
        if let Some(length) = end {
            found.push(Function {
                name,
                line: index + 1,
                lines: lines[index..=index + length]
                    .iter()
                    .filter(|line| !is_row(line))
                    .count(),
            });
        }
    }
    found
}

/// A line that is data: a literal, or a tuple that begins with one.
fn is_row(line: &str) -> bool {
    let line = line.trim();
    (line.starts_with("(\"") || line.starts_with('"')) && line.ends_with(',')
}

/// Whether a line belongs to the head that begins the lines: no brace was opened before it.
fn is_head(lines: &[&str], line: &str) -> bool {
    let before = lines
        .iter()
        .take_while(|other| !std::ptr::eq(**other, line));
    !line.contains('{') && before.clone().all(|line| !line.trim_end().ends_with('{'))
}

fn function_name(line: &str) -> Option<String> {
    let mut rest = code_of(line).trim_start();
    loop {
        let (word, after) = rest.split_once(' ')?;
        match word {
            "fn" => {
                let name: String = after
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                return (!name.is_empty()).then_some(name);
            }
            "pub" | "pub(crate)" | "pub(super)" | "const" | "async" | "unsafe" | "extern"
            | "\"C\"" => rest = after,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_from_head_to_closing_brace() {
        let text = "impl A {\n    pub(crate) async fn one(\n        a: u8,\n    ) -> u8 {\n        a\n    }\n\n    fn two(&self);\n}\n\nfn three() {\n    let s = 1;\n}\n";
        let lines: Vec<&str> = text.lines().collect();
        let sizes: Vec<_> = functions(&lines)
            .into_iter()
            .map(|f| (f.name, f.line, f.lines))
            .collect();
        let expected = [
            ("one".to_owned(), 2, 5),
            ("two".to_owned(), 8, 1),
            ("three".to_owned(), 11, 3),
        ];
        assert_eq!(sizes, expected);
    }

    #[test]
    fn inline_tests_are_no_code() {
        let source = Source::new("//! A.\nfn a() {}\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(source.code, ["//! A.", "fn a() {}"]);
        assert_eq!(code_of("let a = 1; // why"), "let a = 1;");
        assert_eq!(code_of("    // all of it"), "");
    }
}
