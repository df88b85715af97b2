//! Rules about Rust files.

use pointsman_tidy::{PURE, Source, code_of, functions, is_test_file, no_findings, sources};

/// Lines of one file, its inline tests not counted.
const FILE_LINES_MAX: usize = 600;
/// Lines of one function.
const FUNCTION_LINES_MAX: usize = 100;

#[test]
fn every_module_says_what_it_is_for() {
    let mut findings = Vec::new();
    for (file, text) in sources().expect("sources") {
        // Tests that were moved out of their module say nothing of their own.
        if !text.starts_with("//! ") && !file.ends_with("/tests.rs") {
            findings.push(file);
        }
    }
    no_findings(
        "a module opens with `//!`: what it is for, what it promises, what it refuses to know:",
        &findings,
    );
}

#[test]
fn files_are_named_for_what_they_hold() {
    let vague = [
        "utils", "util", "helpers", "helper", "common", "misc", "manager", "managers",
    ];
    let mut findings = Vec::new();
    for (file, _) in sources().expect("sources") {
        let parts = file.split('/').map(|part| part.trim_end_matches(".rs"));
        if parts.clone().any(|part| vague.contains(&part)) {
            findings.push(format!("{file}: name it for its main noun"));
        }
        if file.ends_with("/mod.rs") && !is_test_file(&file) {
            findings.push(format!("{file}: a module is foo.rs beside foo/"));
        }
    }
    no_findings("names that say nothing:", &findings);
}

/// What must not stand in code, and what to do instead. In pieces, so that this file does not hold them.
const BANNED: [(&str, &str, &str); 6] = [
    (
        "#[",
        "allow(",
        "expect(lint, reason = \"…\") goes away with its reason",
    ),
    (
        "#![",
        "allow(",
        "expect(lint, reason = \"…\") goes away with its reason",
    ),
    ("todo", "!(", "finish it, or leave it out"),
    ("unimplemented", "!(", "finish it, or refuse with an error"),
    ("#[", "ignore", "a test that does not run proves nothing"),
    ("dbg", "!(", "log through tracing"),
];

#[test]
fn nothing_is_silenced_skipped_or_left_open() {
    let mut findings = Vec::new();
    for (file, text) in sources().expect("sources") {
        for (index, line) in text.lines().enumerate() {
            for (head, tail, instead) in BANNED {
                if code_of(line)
                    .trim_start()
                    .starts_with(&format!("{head}{tail}"))
                    || (tail == "!(" && code_of(line).contains(&format!(" {head}{tail}")))
                {
                    findings.push(format!("{file}:{}: {head}{tail}: {instead}", index + 1));
                }
            }
        }
    }
    no_findings("banned in code:", &findings);
}

#[test]
fn files_and_functions_are_small() {
    let mut findings = Vec::new();
    for (file, text) in sources().expect("sources") {
        if is_test_file(&file) {
            continue;
        }
        let source = Source::new(&text);
        if source.code.len() > FILE_LINES_MAX {
            findings.push(format!(
                "{file}: {} lines; which second noun moved in?",
                source.code.len()
            ));
        }
        for function in functions(&source.code) {
            if function.lines > FUNCTION_LINES_MAX {
                findings.push(format!(
                    "{file}:{}: fn {} has {} lines",
                    function.line, function.name, function.lines
                ));
            }
        }
    }
    let rule = format!("at most {FILE_LINES_MAX} lines a file, {FUNCTION_LINES_MAX} a function:");
    no_findings(&rule, &findings);
}

#[test]
fn pure_crates_name_nothing_of_the_outside_world() {
    let words = [
        "tokio::",
        "SystemTime",
        "Instant::now",
        "std::env::",
        "std::fs",
        "std::process",
        "std::thread",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "ToSocketAddrs",
    ];
    let mut findings = Vec::new();
    for (file, text) in sources().expect("sources") {
        let pure = PURE
            .iter()
            .any(|room| file.starts_with(&format!("{room}/src/")));
        if !pure || is_test_file(&file) {
            continue;
        }
        for (index, line) in Source::new(&text).code.iter().enumerate() {
            for word in words {
                if code_of(line).contains(word) {
                    findings.push(format!("{file}:{}: {word}", index + 1));
                }
            }
        }
    }
    no_findings(
        "pure crates take the time, the text and the bytes from their callers:",
        &findings,
    );
}
