//! Commands in documents: every `pointsman …` line in a block of shell is one that the real command line takes. The guide
//! to the command line is run from top to bottom. Elsewhere what only reads is run, and of all else the subcommand and
//! every flag must exist.

use std::collections::BTreeSet;

use pointsman_e2e::{policy, says, serving};
use pointsman_harness::{Gateway, GatewayOptions, Provider, workspace};

/// Documents whose commands are checked, besides `docs/*.md`.
const DOCUMENTS: [&str; 2] = ["README.md", "sdk/rust/README.md"];
/// The document that is run as a whole.
const GUIDE: &str = "docs/cli.md";
/// The id of a key in it.
const KEY: &str = "key-3097d9c4c3e9";
/// The id of a decision in it.
const DECISION: &str = "01a20f84-5422";
/// What it says of a command that ends otherwise than well.
const CODE: &str = "# exit code ";
/// How a command of ours begins in documents.
const PREFIXES: [&str; 2] = ["pointsman ", "cargo run -q --bin pointsman -- "];

/// A command line with where it stands.
#[derive(Debug)]
struct Line {
    place: String,
    words: Vec<String>,
    /// The exit code that it is said to end with.
    code: i32,
}

fn documents() -> anyhow::Result<Vec<(String, String)>> {
    let mut files: Vec<String> = DOCUMENTS.map(str::to_owned).to_vec();
    for entry in std::fs::read_dir(workspace().join("docs"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            files.push(format!("docs/{name}"));
        }
    }
    files.sort_unstable();
    let read = |file: String| {
        Ok((
            file.clone(),
            std::fs::read_to_string(workspace().join(file))?,
        ))
    };
    files.into_iter().map(read).collect()
}

fn lines(file: &str, text: &str) -> Vec<Line> {
    let mut in_shell = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            in_shell = line == "```sh";
        } else if in_shell
            && let Some(command) = PREFIXES.iter().find_map(|prefix| line.strip_prefix(prefix))
        {
            let code = command
                .split_once(CODE)
                .map(|(_, told)| told.split(':').next());
            let code = code.flatten().and_then(|code| code.trim().parse().ok());
            let command = command.split(" # ").next().unwrap_or_default();
            found.push(Line {
                place: format!("{file}:{}", index + 1),
                words: command.split_whitespace().map(str::to_owned).collect(),
                code: code.unwrap_or(0),
            });
        }
    }
    found
}

/// Where a command only reads, what to run instead of it: with an id and a bundle that are there.
fn safe(line: &Line, id: &str, bundle: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
    let replaced = match words.as_slice() {
        ["why", _, rest @ ..] => [&["why", id], rest].concat(),
        ["policy", "check", _, rest @ ..] => [&["policy", "check", bundle], rest].concat(),
        ["policy", "schema"]
        | ["decisions", "list", ..]
        | ["audit", "verify", ..]
        | ["key", "list", ..]
        | ["tenant", "list", ..]
        | ["plugin", "list", ..]
        | ["policy", "list", ..]
        | ["usage" | "changes" | "doctor" | "completions", ..] => words,
        _ => return None,
    };
    Some(replaced.into_iter().map(str::to_owned).collect())
}

/// The words before the first flag or argument that are subcommands, by the help text of what stands before them.
fn known(gateway: &Gateway, line: &Line) -> anyhow::Result<Result<(), String>> {
    let mut path: Vec<&str> = Vec::new();
    loop {
        let help = gateway.cli(&[path.as_slice(), &["--help"]].concat())?;
        anyhow::ensure!(help.code == Some(0), "{path:?} --help: {}", help.stderr);
        let subcommands = section(&help.stdout, "Commands:");
        if subcommands.is_empty() {
            let flags: BTreeSet<&str> = help
                .stdout
                .split(|c: char| !(c.is_alphanumeric() || c == '-'))
                .filter(|word| word.starts_with("--"))
                .collect();
            let unknown = line
                .words
                .iter()
                .find(|word| word.starts_with("--") && !flags.contains(word.as_str()));
            return Ok(unknown.map_or(Ok(()), |flag| Err(format!("{path:?} has no {flag}"))));
        }
        match line.words.get(path.len()) {
            Some(word) if subcommands.contains(word.as_str()) => path.push(word),
            word => return Ok(Err(format!("{path:?} has no subcommand {word:?}"))),
        }
    }
}

/// The first words of a help text's section.
fn section<'a>(help: &'a str, title: &str) -> BTreeSet<&'a str> {
    let lines = help.lines().skip_while(|line| *line != title).skip(1);
    lines
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[tokio::test]
async fn commands_in_documents_are_taken() -> anyhow::Result<()> {
    let (provider, gateway) = serving("").await?;
    let answer = gateway.client("demo")?.chat(&says("hello")).await?;
    let id = answer
        .header("x-pointsman-request-id")
        .expect("answers carry their id")
        .to_owned();
    gateway.why(&id).await?;
    let folder = tempfile::tempdir()?;
    let bundle = policy("docs", &[("fake", &provider.endpoint())], "").write(folder.path())?;
    let bundle = bundle.to_str().expect("UTF-8");
    let (mut findings, mut run) = (Vec::new(), 0);
    for (file, text) in documents()? {
        for line in lines(&file, &text) {
            if let Err(why) = known(&gateway, &line)? {
                findings.push(format!("{}: {why}", line.place));
                continue;
            }
            let words = safe(&line, &id, bundle).filter(|_| file != GUIDE);
            let Some(words) = words else {
                continue;
            };
            run += 1;
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let told = gateway.cli(&words)?;
            if told.code != Some(0) {
                findings.push(format!("{}: {words:?}: {}", line.place, told.stderr));
            }
        }
    }
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    assert!(
        run >= 10,
        "only {run} commands were run: does this test still look at the right text?"
    );
    Ok(())
}

/// What the guide takes for granted: a request that was captured, a policy that has changed since it was pushed,
/// prices, a component, labelled rows. The last is the request's id.
async fn guided() -> anyhow::Result<(Provider, Gateway, String)> {
    let provider = Provider::start().await?;
    let full = "[audit]\ncapture = \"full\"\n";
    let bundle = policy("quickstart", &[("fake", &provider.endpoint())], full);
    let options = GatewayOptions::serving(bundle.clone(), &[provider.authority()]);
    let gateway = Gateway::start(options).await?;
    let reply = gateway.client("demo")?.chat(&says("hello")).await?;
    let id = reply.header("x-pointsman-request-id").expect("an id");
    gateway.why(id).await?;
    let policies = gateway.policies();
    let changed = bundle.replace(
        "first-token-timeout-ms = 10000",
        "first-token-timeout-ms = 9000",
    )?;
    changed.write(&policies)?;
    std::fs::copy(
        workspace().join("policies/prices.jsonl"),
        policies.join("prices.jsonl"),
    )?;
    std::fs::create_dir_all(policies.join("mine"))?;
    std::fs::copy(
        workspace().join("tests/quality/routing/routing_train.jsonl"),
        gateway.state().with_file_name("rows.jsonl"),
    )?;
    let built = gateway.state().with_file_name("target").join("plugins");
    std::fs::create_dir_all(&built)?;
    std::fs::copy(
        gateway.state().with_file_name("plugins").join("rules.wasm"),
        built.join("my-router.wasm"),
    )?;
    Ok((provider, gateway, id.to_owned()))
}

/// A key of the guide's tenant that is live.
fn live_key(gateway: &Gateway) -> anyhow::Result<String> {
    let keys = gateway
        .cli(&["key", "list", "--tenant", "team-a", "--json"])?
        .json();
    let mut keys = keys.as_array().into_iter().flatten();
    let live = keys.find(|key| key["state"] == "live");
    let id = live.and_then(|key| key["id"].as_str()).map(str::to_owned);
    id.ok_or_else(|| anyhow::anyhow!("team-a has no live key"))
}

#[tokio::test]
async fn the_guide_to_the_command_line_runs_from_top_to_bottom() -> anyhow::Result<()> {
    let (_provider, gateway, decision) = guided().await?;
    let text = std::fs::read_to_string(workspace().join(GUIDE))?;
    let lines = lines(GUIDE, &text);
    for line in &lines {
        let mut words = line.words.clone();
        for word in words.iter_mut().filter(|word| *word == KEY) {
            *word = live_key(&gateway)?;
        }
        for word in words.iter_mut().filter(|word| *word == DECISION) {
            word.clone_from(&decision);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let told = gateway.cli(&words)?;
        assert_eq!(
            told.code,
            Some(line.code),
            "{}: {words:?}: {}{}",
            line.place,
            told.stdout,
            told.stderr
        );
    }
    assert!(
        lines.len() >= 40,
        "only {} commands were run: does this test still look at the right text?",
        lines.len()
    );
    assert!(lines.iter().any(|line| line.code == 4));
    Ok(())
}
