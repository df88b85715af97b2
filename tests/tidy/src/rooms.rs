//! Who may depend on whom: the code map of ARCHITECTURE.md as a table.

/// A folder with a package, and the rooms below it.
#[derive(Debug)]
pub struct Room {
    /// The folder.
    pub folder: &'static str,
    /// What it may depend on.
    pub below: &'static [&'static str],
    /// What only its own tests may depend on, besides.
    pub tests_below: &'static [&'static str],
}

const fn room(folder: &'static str, below: &'static [&'static str]) -> Room {
    Room {
        folder,
        below,
        tests_below: &[],
    }
}

/// Every room but plugins and tests, which have a rule each.
const ROOMS: &[Room] = &[
    room("host/domain", &[]),
    room("host/wire", &["host/domain"]),
    room("host/traffic", &["host/domain"]),
    room("host/policy", &["host/domain"]),
    Room {
        folder: "host/plugin",
        below: &["host/domain"],
        tests_below: &["sdk/build"],
    },
    room("host/audit", &["host/domain"]),
    room("host/store", &["host/domain", "host/audit"]),
    room("host/upstream", &["host/domain"]),
    room("host/telemetry", &["host/domain"]),
    room("host/control", &["host/domain"]),
    room(
        "host/gateway",
        &[
            "host/domain",
            "host/wire",
            "host/traffic",
            "host/policy",
            "host/plugin",
            "host/audit",
            "host/store",
            "host/upstream",
            "host/telemetry",
            "host/control",
            "sdk/build",
            "sdk/learn",
            "sdk/cases",
        ],
    ),
    room("engine/gguf", &[]),
    Room {
        folder: "engine/kernels",
        below: &[],
        tests_below: &["engine/gguf"],
    },
    room("engine/model", &["engine/gguf", "engine/kernels"]),
    room("engine/server", &["engine/model"]),
    room("sdk/rust", &["sdk/cases"]),
    room("sdk/build", &[]),
    room("sdk/guard", &["sdk/rust"]),
    room("sdk/route", &["sdk/rust"]),
    room("sdk/learn", &[]),
    room("sdk/cases", &[]),
    room("xtask", &["sdk/build"]),
];

const PLUGIN: Room = room(
    "plugins/*",
    &["sdk/rust", "sdk/guard", "sdk/route", "sdk/learn"],
);

/// A third-party crate that lives in few rooms.
#[derive(Debug)]
pub struct Fence {
    /// The crate.
    pub package: &'static str,
    /// Where it may be used.
    pub rooms: &'static [&'static str],
    /// Why nowhere else.
    pub why: &'static str,
}

/// Every fence.
pub const FENCES: &[Fence] = &[
    Fence {
        package: "wasmtime",
        rooms: &["host/plugin"],
        why: "the runtime of plugins can be replaced only while nobody else knows it",
    },
    Fence {
        package: "wasmtime-wizer",
        rooms: &["host/plugin"],
        why: "snapshots are the runtime's own business",
    },
    Fence {
        package: "sled",
        rooms: &["host/store"],
        why: "the database of a fleet is another one, behind the same narrow trait",
    },
    Fence {
        package: "axum",
        rooms: &["host/control"],
        why: "the data plane and the engine speak hyper: a framework there costs what it hides",
    },
    Fence {
        package: "opentelemetry_sdk",
        rooms: &["host/telemetry"],
        why: "spans are built from records, and nothing on the request's way knows how they leave",
    },
    Fence {
        package: "wit-bindgen",
        rooms: &["sdk/rust"],
        why: "bindings generated in one place let plugins forbid unsafe code",
    },
    Fence {
        package: "wit-bindgen-c",
        rooms: &["sdk/build"],
        why: "bindings for C are made where C is built",
    },
    Fence {
        package: "wit-component",
        rooms: &["sdk/build"],
        why: "there is one way from a crate to a component",
    },
];

/// Rooms that know no runtime, socket, clock, environment or file.
pub const PURE: [&str; 4] = ["host/domain", "host/wire", "host/traffic", "host/policy"];

/// The room of a package's folder, relative to the root.
#[must_use]
pub fn room_of(folder: &str) -> Option<&'static Room> {
    if folder.starts_with("plugins/") {
        return Some(&PLUGIN);
    }
    ROOMS.iter().find(|room| room.folder == folder)
}

/// Whether `from` may depend on `to`; where not, why not. `tests_only`: a dev-dependency.
///
/// # Errors
/// The reason.
pub fn edge(from: &str, to: &str, tests_only: bool) -> Result<(), String> {
    let is_test = |folder: &str| folder.starts_with("tests/");
    if is_test(to) && !is_test(from) {
        return Err(format!("{from} → {to}: nothing depends on tests"));
    }
    if is_test(from) {
        return Ok(());
    }
    let Some(room) = room_of(from) else {
        return Err(format!(
            "{from} is no room of the code map; give it one in ARCHITECTURE.md and tests/tidy/src/rooms.rs"
        ));
    };
    if room.below.contains(&to) || (tests_only && room.tests_below.contains(&to)) {
        return Ok(());
    }
    let may = if room.below.is_empty() {
        "nothing of ours".to_owned()
    } else {
        room.below.join(", ")
    };
    Err(format!(
        "{from} → {to}: edges go down only; {from} may depend on {may} (ARCHITECTURE.md, code map)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_go_down_and_never_to_tests() {
        assert_eq!(edge("host/gateway", "host/plugin", false), Ok(()));
        assert_eq!(edge("plugins/split-ab", "sdk/rust", false), Ok(()));
        assert_eq!(edge("tests/e2e", "host/gateway", false), Ok(()));
        assert_eq!(edge("host/plugin", "sdk/build", true), Ok(()));
        for (from, to, tests_only) in [
            ("host/domain", "host/wire", false),
            ("host/wire", "host/policy", false),
            ("host/plugin", "sdk/build", false),
            ("engine/model", "host/domain", false),
            ("plugins/split-ab", "host/domain", false),
            ("host/gateway", "tests/harness", true),
            ("host/unheard-of", "host/domain", false),
        ] {
            assert!(edge(from, to, tests_only).is_err(), "{from} → {to}");
        }
    }
}
