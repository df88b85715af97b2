//! Steps that say what they do and how long it took. Everything goes to stderr; stdout carries results alone. Where
//! stderr is a terminal, what takes long moves; elsewhere the same is said in plain lines.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// How often what moves is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Says a line.
pub(crate) fn say(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _nowhere_left_to_tell = writeln!(stderr, "{text}");
}

/// Prints a result.
pub(crate) fn tell(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _reader_may_have_left = writeln!(stdout, "{text}");
}

/// Runs a step between its name and its time.
pub(crate) fn step<T>(what: &str, run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    say(&format!("== {what}"));
    let began = Instant::now();
    let result = run();
    let seconds = began.elapsed().as_secs_f64();
    match &result {
        Ok(_) => say(&format!("   {seconds:.1} s")),
        Err(_) => say(&format!("   failed after {seconds:.1} s")),
    }
    result
}

/// A step that says nothing itself meanwhile: a terminal shows that it goes on, and for how long.
pub(crate) fn wait<T>(what: &str, run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    step(what, || {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("   {spinner} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        let result = run();
        bar.finish_and_clear();
        result
    })
}

/// A bar of bytes; shown on a terminal alone.
pub(crate) fn bytes(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let shape = "   [{bar:40}] {bytes} of {total_bytes}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(shape) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// Runs a command to its end; its output is shown as it comes, on stderr.
pub(crate) fn run(command: &mut Command, next: &str) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(std::io::stderr());
    let status = command
        .status()
        .with_context(|| format!("cannot run `{name}`; {next}"))?;
    if !status.success() {
        bail!("`{}` failed ({status}); {next}", shown(command));
    }
    Ok(())
}

/// Whether a command ends well; its output is dropped.
pub(crate) fn works(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// What a command prints on stdout.
pub(crate) fn output(command: &mut Command, next: &str) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run `{name}`; {next}"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed ({}); {next}\n{}",
            shown(command),
            output.status,
            told.trim_end()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{name}` printed no text"))
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned()),
    );
    words.join(" ")
}
