//! What can be seen of this machine alone: files, secrets, ports, limits, clock.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pointsman_audit::{DISK_HEADROOM_BYTES, DISK_USED_PERCENT_MAX, DiskRoom};
use pointsman_plugin::{Runtime, RuntimeConfig};
use pointsman_policy::config::SecretRef;
use rustix::process::{Resource, getrlimit};

use super::Report;
use crate::bundle::components;
use crate::node::Settings;

/// Bytes of free disk below which a node cannot go on.
const FREE_BYTES_MIN: u64 = 256 << 20;
/// Percent of used disk above which it is time to make room, where no headroom is left.
const USED_PERCENT_HIGH: u8 = 85;
/// Open files: clients and providers need one a connection.
const FILES_LOW: u64 = 4_096;
const FILES_MIN: u64 = 256;
/// Memory mappings: each live plugin instance has six.
const MAPPINGS_LOW: u64 = 65_530;
/// The clock is not before this software: 2026-01-01, in seconds.
const CLOCK_MIN: u64 = 1_767_225_600;
/// How far ahead a file's time may be.
const AHEAD_MAX: Duration = Duration::from_secs(300);

pub(super) fn state(report: &mut Report, settings: &Settings) {
    let folder = settings.state();
    let shown = folder.display();
    let Ok(meta) = std::fs::metadata(&folder) else {
        report.warn(
            "state",
            format!("{shown} is not there"),
            "nothing to do: the first start makes it",
        );
        return;
    };
    if !meta.is_dir() {
        report.fail(
            "state",
            format!("{shown} is no folder"),
            "name another one: `state` in pointsman.toml",
        );
        return;
    }
    let (user, mode) = (rustix::process::geteuid().as_raw(), meta.mode() & 0o777);
    if meta.uid() != user && user != 0 {
        report.fail(
            "state",
            format!(
                "{shown} belongs to user {}, not to you ({user})",
                meta.uid()
            ),
            "run as the gateway's own user",
        );
    } else if mode & 0o022 != 0 {
        report.fail(
            "state",
            format!("others may write {shown} (mode {mode:o})"),
            format!("chmod go-w {shown}"),
        );
    } else {
        report.ok("state", format!("{shown} (mode {mode:o})"));
    }
    disk(report, &folder);
    journal(report, &settings.control_dir());
}

/// Whether control state could be rebuilt from what is kept of its changes.
fn journal(report: &mut Report, folder: &Path) {
    if !folder.is_dir() {
        return;
    }
    let next = "the gateway serves on from its database, but changes at that place cannot be told, and no backup can be \
                made: restore the newest backup into an empty folder, and keep this one for evidence";
    match pointsman_audit::verify(folder) {
        Ok(found) => match found.problem {
            None => report.ok("journal", format!("{} changes, all sound", found.records)),
            Some(problem) => report.fail("journal", problem.to_string(), next),
        },
        Err(error) => report.fail("journal", error.to_string(), next),
    }
}

fn disk(report: &mut Report, folder: &Path) {
    let Ok(room) = DiskRoom::of(folder) else {
        report.warn(
            "disk",
            "the free space cannot be told",
            "look at it yourself: df",
        );
        return;
    };
    let detail = format!(
        "{} MiB free ({} % used)",
        room.free_bytes >> 20,
        room.used_percent
    );
    let next =
        "make room: the decision log needs it, and without room for a record no request is taken";
    if room.free_bytes < FREE_BYTES_MIN || room.is_short(DISK_USED_PERCENT_MAX, DISK_HEADROOM_BYTES)
    {
        report.fail("disk", detail, next);
    } else if room.is_short(USED_PERCENT_HIGH, DISK_HEADROOM_BYTES) {
        report.warn("disk", detail, next);
    } else {
        report.ok("disk", detail);
    }
}

pub(super) fn secrets(report: &mut Report, settings: &Settings) {
    let config = &settings.config;
    for (name, key, reference) in [
        ("pepper", "keys.pepper", &config.keys.pepper),
        ("admin-token", "control.token", &config.control.token),
    ] {
        match reference {
            Some(SecretRef::Env(variable)) => environment(report, name, key, variable),
            Some(SecretRef::File(path)) => secret_file(report, name, Path::new(path)),
            None => secret_file(report, name, &settings.state().join(name)),
        }
    }
}

fn environment(report: &mut Report, name: &'static str, key: &str, variable: &str) {
    match std::env::var_os(variable) {
        Some(value) if !value.is_empty() => report.ok(name, format!("{key}: {variable} is set")),
        _ => report.fail(
            name,
            format!("{key} names the environment variable {variable}, which is not set here"),
            format!(
                "export {variable} where the gateway is started (this shell may lack what it has)"
            ),
        ),
    }
}

fn secret_file(report: &mut Report, name: &'static str, path: &Path) {
    let shown = path.display();
    let Ok(meta) = std::fs::metadata(path) else {
        report.warn(
            name,
            format!("{shown} is not there"),
            "nothing to do: the first start makes it",
        );
        return;
    };
    let mode = meta.mode() & 0o777;
    if meta.len() == 0 {
        report.fail(
            name,
            format!("{shown} is empty"),
            "remove it to have a new secret made",
        );
    } else if mode & 0o077 != 0 {
        report.fail(
            name,
            format!("others may read {shown} (mode {mode:o})"),
            format!("chmod 600 {shown}"),
        );
    } else if let Err(error) = std::fs::File::open(path) {
        report.fail(
            name,
            format!("cannot read {shown}: {error}"),
            "run as the gateway's own user",
        );
    } else {
        report.ok(name, format!("{shown} (mode {mode:o})"));
    }
}

/// Whether the values of what targets are called with and of what plugins sign with are there; never what they are.
pub(super) fn named_secrets(report: &mut Report, settings: &Settings) {
    for credential in &settings.config.credentials {
        let key = format!("credential `{}`", credential.name);
        named(report, "credential", &key, &credential.value);
    }
    for secret in &settings.config.secrets {
        let key = format!("secret `{}`", secret.name);
        named(report, "secret", &key, &secret.value);
    }
}

fn named(report: &mut Report, check: &'static str, key: &str, value: &SecretRef) {
    let path = match value {
        SecretRef::Env(variable) => return environment(report, check, key, variable),
        SecretRef::File(path) => path,
    };
    let put =
        "put the value there, readable by the gateway's user alone: it does not start without";
    let mode = std::fs::metadata(path).map_or(0, |meta| meta.mode() & 0o777);
    match std::fs::read(path) {
        Err(error) => report.fail(check, format!("{key}: cannot read {path}: {error}"), put),
        Ok(bytes) if bytes.trim_ascii().is_empty() => {
            report.fail(check, format!("{key}: {path} is empty"), put);
        }
        Ok(_) if mode & 0o007 != 0 => report.warn(
            check,
            format!("{key}: everyone may read or write {path} (mode {mode:o})"),
            format!("chmod o= {path}"),
        ),
        Ok(_) => report.ok(check, format!("{key}: {path} (mode {mode:o})")),
    }
}

pub(super) fn plugins(report: &mut Report, settings: &Settings) {
    let folder = settings.plugins();
    let paths = match components(&folder) {
        Ok(paths) => paths,
        Err(error) => {
            report.fail("plugins", format!("{error:#}"), "mind its permissions");
            return;
        }
    };
    if paths.is_empty() {
        report.warn(
            "plugins",
            format!("{} holds no component", folder.display()),
            "`cargo xtask plugins` builds those that are shipped into .pointsman/plugins",
        );
        return;
    }
    let runtime = Runtime::new(RuntimeConfig {
        compile_cache_dir: Some(settings.state().join("compiled")),
        ..RuntimeConfig::default()
    });
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            report.fail(
                "plugins",
                format!("the plugin runtime cannot start: {error}"),
                "see docs/configuration.md, limits",
            );
            return;
        }
    };
    let mut loaded = 0;
    for path in &paths {
        let bytes = std::fs::read(path).map_err(|error| error.to_string());
        match bytes.and_then(|bytes| runtime.load(&bytes).map_err(|error| error.to_string())) {
            Ok(_) => loaded += 1,
            Err(why) => report.warn(
                "plugins",
                format!("{} is not loadable: {why}", path.display()),
                "build it anew: pointsman plugin build FOLDER",
            ),
        }
    }
    report.ok(
        "plugins",
        format!("{loaded} of {} in {} load", paths.len(), folder.display()),
    );
}

/// Free, or taken by the server that answered.
pub(super) fn ports(report: &mut Report, settings: &Settings, runs: bool) {
    let config = &settings.config;
    for (check, key, listen) in [
        ("data port", "data.listen", &config.data.listen),
        ("control port", "control.listen", &config.control.listen),
    ] {
        match TcpListener::bind(listen) {
            Ok(_) if listen.ends_with(":0") => {
                report.ok(check, format!("{listen}: the system picks one"));
            }
            Ok(_) => report.ok(check, format!("{listen} is free")),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && runs => {
                report.ok(check, format!("{listen} is in use; a server runs"));
            }
            Err(error) => report.fail(
                check,
                format!("cannot listen on {listen}: {error}"),
                format!("stop the other program, or set {key} to another address"),
            ),
        }
    }
}

/// Budgets, keys and records go by the clock; what the state folder holds is from the past.
pub(super) fn clock(report: &mut Report, settings: Option<&Settings>) {
    let now = SystemTime::now();
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let next = "set the clock (timedatectl set-ntp true): budgets, keys and records go by it";
    let newest = settings.and_then(|settings| newest(&settings.state()));
    let ahead = newest.and_then(|newest| newest.duration_since(now).ok());
    match ahead {
        _ if seconds < CLOCK_MIN => report.fail("clock", "the clock stands before 2026", next),
        Some(ahead) if ahead > AHEAD_MAX => report.fail(
            "clock",
            format!(
                "the state folder holds what was written {} s after now: the clock went back",
                ahead.as_secs()
            ),
            next,
        ),
        _ => report.ok("clock", crate::cli::utc(seconds.saturating_mul(1000))),
    }
}

/// When the newest file of the state folder, or of the decision log in it, was written.
fn newest(state: &Path) -> Option<SystemTime> {
    let folders: [PathBuf; 2] = [state.to_owned(), state.join("decisions")];
    let entries = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok());
    entries
        .flatten()
        .filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok())
        .max()
}

pub(super) fn limits(report: &mut Report) {
    let files = getrlimit(Resource::Nofile).current;
    let detail = files.map_or_else(|| "unlimited".to_owned(), |files| files.to_string());
    let next = "ulimit -n 65536 (systemd: LimitNOFILE=65536): each connection needs one";
    match files {
        Some(files) if files < FILES_MIN => report.fail("open files", detail, next),
        Some(files) if files < FILES_LOW => report.warn("open files", detail, next),
        _ => report.ok("open files", detail),
    }
    // Systems without it have no such bound.
    let told = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    if let Ok(mappings) = told.trim().parse::<u64>() {
        if mappings < MAPPINGS_LOW {
            report.warn(
                "mappings",
                format!("vm.max_map_count is {mappings}"),
                format!(
                    "sysctl -w vm.max_map_count={MAPPINGS_LOW}: plugin instances need six each"
                ),
            );
        } else {
            report.ok("mappings", format!("vm.max_map_count is {mappings}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use pointsman_policy::config::SecretRef;

    use super::{Report, named};
    use crate::cli::doctor::Level;

    #[test]
    fn a_named_secret_is_looked_at_and_never_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sign");
        let file = SecretRef::File(path.display().to_string());
        let look = |value: &SecretRef| {
            let mut report = Report::default();
            named(&mut report, "secret", "secret `sign`", value);
            let seen = report.0.pop().expect("one check");
            assert!(seen.detail.contains("secret `sign`"), "{seen:?}");
            assert!(!format!("{seen:?}").contains("hush"), "{seen:?}");
            assert_eq!(seen.next.is_none(), seen.level == Level::Ok, "{seen:?}");
            seen.level
        };
        assert_eq!(look(&file), Level::Fail);
        for (content, mode, level) in [
            (" \n", 0o600, Level::Fail),
            ("hush\n", 0o644, Level::Warn),
            ("hush\n", 0o640, Level::Ok),
        ] {
            std::fs::write(&path, content).expect("written");
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).expect("set");
            assert_eq!(look(&file), level, "{content:?}");
        }
        let unset = SecretRef::Env("POINTSMAN_TEST_NO_SUCH_SECRET".to_owned());
        assert_eq!(look(&unset), Level::Fail);
    }
}
