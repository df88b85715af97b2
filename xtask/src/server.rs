//! Engine and gateway as processes that outlive this one: started, recognised, stopped.
//!
//! A server is known by `.pointsman/run/NAME.json`: its process and what its ready file told. A process is only
//! signalled where its program is the one that was started, as numbers are used again.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};

use crate::build::shown;
use crate::place::{make_folder, state, write};
use crate::step::{say, wait};

/// How long a server may take to be ready; a first start compiles every plugin.
const READY_MAX: Duration = Duration::from_secs(120);
/// How long a server may take to end; its own drain bound is 30 s.
const END_MAX: Duration = Duration::from_secs(35);
const LOOK: Duration = Duration::from_millis(50);
/// Lines of the log that an error shows.
const SHOWN_LINES: usize = 25;

/// In the order in which they are stopped.
pub(crate) const GATEWAY: Server = Server {
    name: "gateway",
    program: "pointsman",
    health: "control_url",
    path: "/readyz",
};
pub(crate) const ENGINE: Server = Server {
    name: "engine",
    program: "pointsman-engine",
    health: "url",
    path: "/health",
};

/// One kind of server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// What people call it.
    pub(crate) name: &'static str,
    /// Its binary.
    program: &'static str,
    /// Which of its addresses answers for its health, and where.
    health: &'static str,
    path: &'static str,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: u32,
    /// What its ready file told.
    pub(crate) word: Value,
    /// Held where this process started it.
    pub(crate) child: Option<Child>,
}

impl Running {
    pub(crate) fn url(&self, name: &str) -> anyhow::Result<String> {
        self.word[name]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("the server told no `{name}`"))
    }
}

impl Server {
    fn record(self) -> PathBuf {
        state("run").join(format!("{}.json", self.name))
    }

    pub(crate) fn log(self) -> PathBuf {
        state("logs").join(format!("{}.log", self.name))
    }

    /// The one that runs already and says that it is well.
    pub(crate) fn healthy(self) -> Option<Running> {
        let (process, word) = self.known()?;
        let url = word[self.health].as_str()?;
        let well = status(url, self.path, &[]).is_ok_and(|status| status == 200);
        well.then_some(Running {
            process,
            word,
            child: None,
        })
    }

    /// What was started before and still runs.
    fn known(self) -> Option<(u32, Value)> {
        let record: Value = serde_json::from_slice(&std::fs::read(self.record()).ok()?).ok()?;
        let process = u32::try_from(record["process"].as_u64()?).ok()?;
        if self.is(process) {
            return Some((process, record["word"].clone()));
        }
        self.successor()
    }

    /// The process that it handed over to (SIGUSR2), which the ready file names.
    fn successor(self) -> Option<(u32, Value)> {
        let word: Value = serde_json::from_slice(&std::fs::read(self.ready_file()).ok()?).ok()?;
        let process = u32::try_from(word["pid"].as_u64()?).ok()?;
        self.is(process).then_some((process, word))
    }

    fn ready_file(self) -> PathBuf {
        state("run").join(format!("{}.ready", self.name))
    }

    /// Whether the process is one of this kind.
    fn is(self, process: u32) -> bool {
        let Some(program) = program_of(process) else {
            return false;
        };
        program == self.program
    }

    /// Whether a build has replaced the program of a process since it started.
    pub(crate) fn outdated(self, process: u32) -> bool {
        let file = std::fs::read_link(format!("/proc/{process}/exe"));
        file.is_ok_and(|file| file.to_string_lossy().ends_with(" (deleted)"))
    }

    /// Starts one and waits until it is ready. `detached`: it survives this process and its terminal.
    pub(crate) fn start(self, mut command: Command, detached: bool) -> anyhow::Result<Running> {
        // A server that runs but is not well would keep the address.
        self.stop()?;
        let ready = self.ready_file();
        make_folder(&state("run"))?;
        make_folder(&state("logs"))?;
        if ready.exists() {
            std::fs::remove_file(&ready)
                .with_context(|| format!("cannot remove {}", ready.display()))?;
        }
        let log = File::create(self.log())
            .with_context(|| format!("cannot write {}", self.log().display()))?;
        let other = log.try_clone().context("cannot share the log file")?;
        command
            .arg("--ready-file")
            .arg(&ready)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(other);
        if detached {
            use std::os::unix::process::CommandExt as _;
            // Out of the terminal's foreground group: Ctrl-C and hang-ups are not for it.
            command.process_group(0);
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start the {}", self.name))?;
        let word = match self.ready(&mut child, &ready) {
            Ok(word) => word,
            Err(error) => {
                // Whatever it is busy with, it is not what was asked for.
                let _ended_already = child.kill();
                let _reaped_already = child.wait();
                return Err(error);
            }
        };
        let record = json!({ "process": child.id(), "word": word });
        write(&self.record(), &record.to_string(), 0o600)?;
        Ok(Running {
            process: child.id(),
            word,
            child: Some(child),
        })
    }

    fn ready(self, child: &mut Child, file: &Path) -> anyhow::Result<Value> {
        let began = Instant::now();
        loop {
            // A file that is half written is no JSON yet.
            if let Ok(bytes) = std::fs::read(file)
                && let Ok(word) = serde_json::from_slice(&bytes)
            {
                return Ok(word);
            }
            if let Some(status) = child.try_wait().context("cannot ask for the process")? {
                bail!(
                    "the {} ended before it was ready ({status}); {}",
                    self.name,
                    self.last_words()
                );
            }
            if began.elapsed() > READY_MAX {
                bail!(
                    "the {} was not ready within {READY_MAX:?}; {}",
                    self.name,
                    self.last_words()
                );
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The end of its log.
    pub(crate) fn last_words(self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        format!("the end of {}:\n{end}", shown(&self.log()))
    }

    /// SIGTERM, then, where it does not end, SIGKILL. Says whether there was one.
    pub(crate) fn stop(self) -> anyhow::Result<bool> {
        let Some((process, _)) = self.known() else {
            self.forget()?;
            return Ok(false);
        };
        let id = i32::try_from(process)
            .ok()
            .and_then(Pid::from_raw)
            .context("no process id")?;
        wait(
            &format!("stopping the {} (process {process})", self.name),
            || {
                // It may end in between, which is what is wanted.
                let _ended_already = kill_process(id, Signal::TERM);
                let began = Instant::now();
                while self.lives(id, process) {
                    if began.elapsed() > END_MAX {
                        say("   it does not end by itself; killing it");
                        let _ended_already = kill_process(id, Signal::KILL);
                    }
                    std::thread::sleep(LOOK);
                }
                Ok(())
            },
        )?;
        self.forget()?;
        Ok(true)
    }

    fn lives(self, id: Pid, process: u32) -> bool {
        test_kill_process(id).is_ok() && self.is(process) && !is_zombie(process)
    }

    pub(crate) fn forget(self) -> anyhow::Result<()> {
        match std::fs::remove_file(self.record()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.record().display()))
            }
            _ => Ok(()),
        }
    }
}

/// `cargo xtask down`.
pub(crate) fn down() -> anyhow::Result<ExitCode> {
    let mut any = false;
    for server in [GATEWAY, ENGINE] {
        any |= server.stop()?;
    }
    say(if any {
        "stopped; state stays in .pointsman"
    } else {
        "nothing was running"
    });
    Ok(ExitCode::SUCCESS)
}

/// The program that a process runs; none where there is no such process.
fn program_of(process: u32) -> Option<String> {
    if let Ok(path) = std::fs::read_link(format!("/proc/{process}/exe")) {
        let name = path.file_name()?.to_string_lossy().into_owned();
        return Some(name.trim_end_matches(" (deleted)").to_owned());
    }
    // Systems without /proc.
    let output = Command::new("ps")
        .args(["-o", "comm=", "-p", &process.to_string()])
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    Some(
        Path::new(path.trim())
            .file_name()?
            .to_string_lossy()
            .into_owned(),
    )
}

/// A child of this process that has ended and was not waited for.
fn is_zombie(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// The status that a GET is answered with.
pub(crate) fn status(url: &str, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<u16> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let authority = url.strip_prefix("http://").unwrap_or(url);
    let address = authority
        .parse()
        .with_context(|| format!("{url} is no http://address:port"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("nobody listens at {url}"))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .context("cannot set a timeout")?;
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream
        .write_all(request.as_bytes())
        .context("the server closed")?;
    let mut head = [0; 12];
    stream
        .read_exact(&mut head)
        .context("the server closed without an answer")?;
    let status = std::str::from_utf8(&head)
        .ok()
        .and_then(|head| head.strip_prefix("HTTP/1.1 ")?.parse().ok());
    status.with_context(|| format!("{url} does not speak HTTP"))
}
