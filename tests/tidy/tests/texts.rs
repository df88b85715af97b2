//! Rules about all text: no machine's paths, no dead links, no commands that are not there.

use std::collections::BTreeSet;
use std::path::Path;

use pointsman_tidy::{files, no_findings, read, root, texts};

/// Folders that only one machine has. Joined here, so that this file does not hold the paths.
const MACHINE_FOLDERS: [&str; 5] = ["work", "root", "home", "Users", "workspace"];

#[test]
fn no_text_names_a_path_of_one_machine() {
    let mut findings = Vec::new();
    for (file, text) in texts().expect("texts") {
        for (index, line) in text.lines().enumerate() {
            for folder in MACHINE_FOLDERS {
                let path = format!("/{folder}/");
                let absolute = line.match_indices(&path).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|c| c.is_whitespace() || "\"'`(=:,<[".contains(c))
                });
                if absolute {
                    findings.push(format!("{file}:{}: {}", index + 1, line.trim()));
                }
            }
        }
    }
    no_findings("absolute paths of one machine:", &findings);
}

#[test]
fn only_a_default_of_xtask_looks_beside_the_repository() {
    let beside = format!("../{}", "shared");
    let mut findings = Vec::new();
    for (file, text) in texts().expect("texts") {
        for (index, line) in text.lines().enumerate() {
            let default = file == "xtask/src/main.rs" && line.starts_with("const ");
            if line.contains(&beside) && !default {
                findings.push(format!("{file}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    no_findings("a clone has nothing beside it:", &findings);
}

fn documents() -> Vec<(String, String)> {
    let files = files()
        .expect("files")
        .into_iter()
        .filter(|file| file.ends_with(".md"));
    files
        .filter_map(|file| read(&file).map(|text| (file, text)))
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut findings = Vec::new();
    for (file, text) in documents() {
        let folder = Path::new(&file).parent().expect("a folder").to_owned();
        for (at, _) in text.match_indices("](") {
            let Some((target, _)) = text[at + 2..].split_once(')') else {
                continue;
            };
            let target = target.split('#').next().unwrap_or_default();
            let outside =
                target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !outside && !root().join(&folder).join(target).exists() {
                findings.push(format!("{file}: {target}"));
            }
        }
    }
    no_findings("links to nothing:", &findings);
}

/// Variants of a clap enum, as they are typed.
fn subcommands(file: &str, name: &str) -> BTreeSet<String> {
    let text = read(file).expect("the command line's source");
    let body = text
        .split_once(&format!("enum {name} {{\n"))
        .expect("the enum of its commands")
        .1;
    let body = body.split("\n}").next().expect("an end");
    let variants = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(char::is_uppercase));
    variants
        .map(|line| {
            line.chars()
                .take_while(|c| c.is_alphanumeric())
                .collect::<String>()
                .to_lowercase()
        })
        .collect()
}

/// The words that follow each occurrence of a command, in code of documents.
fn words_after(text: &str, command: &str) -> Vec<String> {
    let found = text
        .match_indices(command)
        .map(|(at, _)| &text[at + command.len()..]);
    let word = |rest: &str| {
        rest.trim_start_matches(' ')
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '-')
            .collect()
    };
    found
        .filter(|rest| rest.starts_with(' '))
        .map(word)
        .filter(|word: &String| !word.is_empty())
        .collect()
}

#[test]
fn commands_in_documents_exist() {
    let tasks = subcommands("xtask/src/main.rs", "Task");
    let commands = subcommands("host/gateway/src/cli.rs", "Command");
    let measures = read("xtask/src/measure.rs").expect("the measurements");
    let mut findings = Vec::new();
    let mut seen = 0;
    for (file, text) in documents() {
        for task in words_after(&text, "cargo xtask") {
            seen += 1;
            if !tasks.contains(&task) {
                findings.push(format!("{file}: cargo xtask {task}"));
            }
        }
        for (command, known) in [("--bin pointsman --", &commands), ("`pointsman", &commands)] {
            for word in words_after(&text, command)
                .into_iter()
                .filter(|word| !word.starts_with('-'))
            {
                seen += 1;
                if !known.contains(&word) {
                    findings.push(format!("{file}: pointsman {word}"));
                }
            }
        }
        for kind in ["bench", "prove"] {
            for name in words_after(&text, &format!("cargo xtask {kind}"))
                .into_iter()
                .filter(|name| !name.starts_with(char::is_uppercase))
            {
                if !name.starts_with('-') && !measures.contains(&format!("name: \"{name}\"")) {
                    findings.push(format!("{file}: cargo xtask {kind} {name}"));
                }
            }
        }
    }
    no_findings("commands that are not there:", &findings);
    assert!(
        seen >= 5,
        "only {seen} commands found: does this test still look at the right text?"
    );
}

#[test]
fn every_plugin_is_whole() {
    let files = files().expect("files");
    let mut findings = Vec::new();
    let manifests = files
        .iter()
        .filter_map(|file| file.strip_prefix("plugins/")?.strip_suffix("/Cargo.toml"));
    for plugin in manifests {
        for part in ["README.md", "config.schema.json", "cases.jsonl"] {
            let file = format!("plugins/{plugin}/{part}");
            if !files.contains(&file) {
                findings.push(file);
            }
        }
    }
    no_findings(
        "a shipped plugin has a README, a config schema and cases:",
        &findings,
    );
}
