//! Who depends on whom.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use pointsman_tidy::{FENCES, PURE, edge, no_findings, read, root};

fn metadata() -> Metadata {
    let manifest = root().join("Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(["--locked".to_owned()])
        .exec()
        .expect("cargo metadata")
}

fn folder(package: &Package) -> String {
    let folder = package
        .manifest_path
        .parent()
        .expect("a manifest is in a folder");
    let folder = folder
        .as_std_path()
        .strip_prefix(root())
        .expect("members are in the workspace");
    folder.to_string_lossy().into_owned()
}

#[test]
fn edges_between_our_crates_go_down() {
    let metadata = metadata();
    let ours: BTreeMap<String, String> = metadata
        .workspace_packages()
        .iter()
        .map(|package| (package.name.to_string(), folder(package)))
        .collect();
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        let from = folder(package);
        for dependency in &package.dependencies {
            let Some(to) = ours.get(&dependency.name) else {
                continue;
            };
            if let Err(why) = edge(&from, to, dependency.kind == DependencyKind::Development) {
                findings.push(why);
            }
        }
    }
    no_findings("edges that the code map does not have:", &findings);
}

#[test]
fn fenced_crates_stay_in_their_rooms() {
    let metadata = metadata();
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        let folder = folder(package);
        for dependency in &package.dependencies {
            let fence = FENCES.iter().find(|fence| fence.package == dependency.name);
            let room = |fence: &pointsman_tidy::Fence| fence.rooms.contains(&folder.as_str());
            if let Some(fence) = fence.filter(|fence| !room(fence)) {
                findings.push(format!(
                    "{folder} depends on {}, which lives in {}: {}",
                    fence.package,
                    fence.rooms.join(", "),
                    fence.why
                ));
            }
        }
    }
    no_findings("third-party crates outside their fence:", &findings);
}

/// Crates that touch the outside world, whoever brings them in. Seeds of hash maps are not counted.
const IMPURE: [&str; 11] = [
    "tokio",
    "hyper",
    "mio",
    "socket2",
    "reqwest",
    "async-std",
    "axum",
    "tempfile",
    "memmap2",
    "chrono",
    "wasmtime",
];

#[test]
fn pure_crates_reach_nothing_impure() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let nodes: BTreeMap<&PackageId, _> =
        resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let names: BTreeMap<&PackageId, String> = metadata
        .packages
        .iter()
        .map(|package| (&package.id, package.name.to_string()))
        .collect();
    let mut findings = Vec::new();
    for package in metadata
        .workspace_packages()
        .into_iter()
        .filter(|package| PURE.contains(&folder(package).as_str()))
    {
        let mut seen = BTreeSet::new();
        let mut open = vec![(&package.id, package.name.to_string())];
        while let Some((id, path)) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            for dependency in &nodes[id].deps {
                let counts = dependency
                    .dep_kinds
                    .iter()
                    .any(|kind| kind.kind == DependencyKind::Normal && kind.target.is_none());
                let name = &names[&dependency.pkg];
                if counts && IMPURE.contains(&name.as_str()) {
                    findings.push(format!("{path} → {name}"));
                } else if counts {
                    open.push((&dependency.pkg, format!("{path} → {name}")));
                }
            }
        }
    }
    no_findings(
        "pure crates know no runtime, socket, clock, environment or file, not even through others:",
        &findings,
    );
}

#[test]
fn third_party_crates_enter_through_the_workspace() {
    let mut findings = Vec::new();
    for package in metadata().workspace_packages() {
        let file = format!("{}/Cargo.toml", folder(package));
        let text = read(&file).expect("a manifest");
        let mut in_dependencies = false;
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('[') {
                in_dependencies = line.trim_end_matches(']').ends_with("dependencies");
            } else if in_dependencies
                && line.contains('=')
                && !line.starts_with('#')
                && !line.contains("workspace = true")
            {
                findings.push(format!("{file}:{}: {line}", index + 1));
            }
        }
        if !text.lines().any(|line| line.starts_with("[lints")) {
            findings.push(format!(
                "{file}: no lint table; add `[lints] workspace = true`"
            ));
        }
    }
    no_findings(
        "versions and features stand once, in the root's [workspace.dependencies]:",
        &findings,
    );
}
