//! `cargo xtask bench` and `cargo xtask prove`: builds what a measurement needs, runs it, reads its last line.
//!
//! A measurement is a binary. Its last line on stdout is one JSON object
//! `{name, ok, promises: {NAME: {value, limit, ok}}, goals: {NAME: {value, limit, ok}}, conditions}`; promises (counts,
//! correctness) decide the exit code, goals (speed) are reported. It gets `--data FOLDER` and `--recordings FOLDER`
//! where there are such folders.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::place::{binary, root};
use crate::step::{say, step, tell};
use crate::{DATA_DEFAULT, MeasureOptions, apt, build, model, python};

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bench,
    Prove,
}

/// One measurement.
struct Measure {
    kind: Kind,
    name: &'static str,
    /// What is measured.
    about: &'static str,
    /// The package whose binary `KIND_NAME` it is.
    package: &'static str,
    /// Whether it needs the model.
    model: bool,
    /// An example that it runs.
    example: Option<&'static str>,
}

/// Every measurement.
const MEASURES: &[Measure] = &[
    Measure {
        kind: Kind::Prove,
        name: "faults",
        about: "every misbehaving guest, in every role and on-fault, through HTTP; memory after 10,000 faults",
        package: "pointsman-e2e",
        model: false,
        example: None,
    },
    Measure {
        kind: Kind::Prove,
        name: "budgets",
        about: "one dollar, 500 requests at once, half of them leaving; kills under load; records sum to the balance",
        package: "pointsman-e2e",
        model: false,
        example: None,
    },
    Measure {
        kind: Kind::Prove,
        name: "streams",
        about: "a hundred thousand random streams through guards, and secrets cut at every byte of every shape",
        package: "pointsman-e2e",
        model: false,
        example: None,
    },
    Measure {
        kind: Kind::Prove,
        name: "isolation",
        about: "plugins that try to remember; a tenant that does its worst beside one that just works",
        package: "pointsman-e2e",
        model: false,
        example: None,
    },
    Measure {
        kind: Kind::Bench,
        name: "swap",
        about: "activations of ready versions: from the commit until requests obey, and the whole call",
        package: "pointsman-e2e",
        model: false,
        example: None,
    },
    Measure {
        kind: Kind::Bench,
        name: "plugins",
        about: "each shipped plugin on a 4 KB request: fresh, pooled, native; the chain of steps; threads",
        package: "pointsman-bench",
        model: false,
        example: Some("bench_plugins"),
    },
    Measure {
        kind: Kind::Bench,
        name: "routing",
        about: "what the learned router is worth, on known topics and on new ones, next to a draw and subject means",
        package: "pointsman-bench",
        model: false,
        example: None,
    },
    Measure {
        kind: Kind::Bench,
        name: "tenants",
        about: "memory with 10,000 tenants and keys under 50 policies that use every plugin",
        package: "pointsman-bench",
        model: false,
        example: None,
    },
    Measure {
        kind: Kind::Bench,
        name: "gateway",
        about: "the request path beside nginx: CPU, latency, streams, memory, start",
        package: "pointsman-bench",
        model: false,
        example: None,
    },
    Measure {
        kind: Kind::Bench,
        name: "guards",
        about: "precision, recall and false positives of the guards on labelled texts, beside others",
        package: "pointsman-bench",
        model: false,
        example: None,
    },
];

/// Programs that a measurement runs beside ours, each with its package.
fn programs(measure: &Measure) -> &'static [(&'static str, &'static str)] {
    match (measure.kind, measure.name) {
        (Kind::Bench, "gateway") => &[("nginx", "nginx-light")],
        _ => &[],
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Bench => "bench",
            Self::Prove => "prove",
        }
    }
}

pub(crate) fn run(kind: Kind, options: &MeasureOptions) -> anyhow::Result<ExitCode> {
    let Some(name) = &options.name else {
        for measure in MEASURES.iter().filter(|measure| measure.kind == kind) {
            tell(&format!("{:<10} {}", measure.name, measure.about));
        }
        return Ok(ExitCode::SUCCESS);
    };
    let measure = MEASURES
        .iter()
        .find(|measure| measure.kind == kind && measure.name == name);
    let Some(measure) = measure else {
        bail!(
            "there is no `{} {name}`; `cargo xtask {0}` lists them",
            kind.word()
        );
    };
    prepare(measure)?;
    let last = step(
        &format!("{} {name}: {}", kind.word(), measure.about),
        || measured(measure, options),
    )?;
    let result: Value =
        serde_json::from_str(&last).with_context(|| format!("its last line is no JSON: {last}"))?;
    if options.json {
        tell(&last);
    } else {
        show(&result);
    }
    Ok(if result["ok"] == true {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn prepare(measure: &Measure) -> anyhow::Result<()> {
    for (program, package) in programs(measure) {
        apt::program(program, package)?;
    }
    if measure.model {
        model::fetch()?;
    }
    if measure.name == "guards" {
        // The plugins' logic runs natively.
        python::presidio();
        return build::binaries(&[&program(measure)]);
    }
    build::plugins()?;
    build::guests()?;
    if let Some(example) = measure.example {
        build::examples(&[example])?;
    }
    let program = program(measure);
    build::binaries(&["pointsman", "pointsman-engine", "fake-provider", &program])
}

/// The name of the binary that measures.
fn program(measure: &Measure) -> String {
    format!("{}_{}", measure.kind.word(), measure.name)
}

/// Runs it and returns the last line of its stdout; the lines before are shown.
fn measured(measure: &Measure, options: &MeasureOptions) -> anyhow::Result<String> {
    let file = binary(&program(measure));
    let mut command = Command::new(&file);
    command
        .current_dir(root())
        .args(folders(options))
        .args(&options.arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let missing = || {
        format!(
            "cannot run {}; is it a binary of {}?",
            file.display(),
            measure.package
        )
    };
    let mut child = command.spawn().with_context(missing)?;
    let stdout = child.stdout.take().context("its output is not piped")?;
    let mut last = None;
    for line in std::io::BufRead::lines(std::io::BufReader::new(stdout)) {
        let line = line.context("it prints no text")?;
        if let Some(before) = last.replace(line) {
            say(&format!("   {before}"));
        }
    }
    let status = child.wait().context("cannot wait for it")?;
    // A broken promise may end with a code of its own; the line says which.
    match last.filter(|line| line.starts_with('{')) {
        Some(line) => Ok(line),
        None => bail!("it ended without its result ({status})"),
    }
}

fn folders(options: &MeasureOptions) -> Vec<PathBuf> {
    let data = options
        .data
        .clone()
        .or_else(|| Some(root().join(DATA_DEFAULT)).filter(|folder| folder.is_dir()));
    let recordings = options
        .recordings
        .clone()
        .unwrap_or_else(|| root().join("tests/wire/recorded"));
    let mut arguments = vec![PathBuf::from("--recordings"), recordings];
    if let Some(data) = data {
        arguments.extend([PathBuf::from("--data"), data]);
    }
    arguments
}

fn show(result: &Value) {
    for (part, word, otherwise) in [
        ("promises", "promise", "BROKEN"),
        ("goals", "goal", "missed"),
    ] {
        for (name, entry) in result[part].as_object().into_iter().flatten() {
            let verdict = if entry["ok"] == true {
                "holds "
            } else {
                otherwise
            };
            tell(&format!(
                "{word:<8} {verdict}  {name}: {} (limit {})",
                entry["value"], entry["limit"]
            ));
        }
    }
    tell(&format!("conditions: {}", result["conditions"]));
    tell(if result["ok"] == true { "ok" } else { "NOT OK" });
}
