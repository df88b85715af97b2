//! Builds two real crates of this workspace and looks at what came out.

use std::path::{Path, PathBuf};

use pointsman_sdk_build::{BuildError, Options, build_component, build_components};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the workspace")
        .to_owned()
}

/// Interface names that a component imports and exports, as its WIT says.
fn interfaces(component: &Path) -> (Vec<String>, Vec<String>) {
    let bytes = std::fs::read(component).expect("the component");
    let decoded = wit_component::decode(&bytes).expect("a component");
    let resolve = decoded.resolve();
    let world = &resolve.worlds[resolve.worlds.iter().next().expect("a world").0];
    let names = |items: Vec<String>| {
        let mut names: Vec<String> = items
            .into_iter()
            .filter_map(|name| {
                let name = name.strip_prefix("pointsman:plugin/")?;
                Some(name.split('@').next()?.to_owned())
            })
            .collect();
        names.sort();
        names
    };
    (
        names(
            world
                .imports
                .keys()
                .map(|key| resolve.name_world_key(key))
                .collect(),
        ),
        names(
            world
                .exports
                .keys()
                .map(|key| resolve.name_world_key(key))
                .collect(),
        ),
    )
}

#[test]
fn components_import_and_export_only_what_they_use() {
    let out = tempfile::tempdir().expect("a directory");
    let options = Options {
        out_dir: Some(out.path().to_owned()),
        ..Options::default()
    };
    let crates = [root().join("plugins/split-ab"), root().join("tests/guests")];
    let built = build_components(&crates, &root().join("target"), &options).expect("components");
    let names: Vec<&str> = built
        .iter()
        .map(|component| component.name.as_str())
        .collect();
    assert_eq!(names, ["split-ab", "pointsman-guests"]);

    let (imports, exports) = interfaces(&built[0].path);
    assert_eq!(imports, ["request", "types"]);
    assert_eq!(exports, ["meta", "splitter"]);

    let (imports, exports) = interfaces(&built[1].path);
    assert_eq!(imports, ["request", "secrets", "targets", "types"]);
    assert_eq!(
        exports,
        [
            "accountant",
            "classifier",
            "meta",
            "request-guard",
            "response-guard",
            "router",
            "splitter"
        ]
    );

    let bytes = std::fs::read(&built[0].path).expect("the component");
    let text = String::from_utf8_lossy(&bytes);
    let here = root().display().to_string();
    assert!(
        !text.contains(&here),
        "a component names the machine's path"
    );
}

#[test]
fn a_directory_without_a_package_says_so() {
    let empty = tempfile::tempdir().expect("a directory");
    let error =
        build_component(empty.path(), empty.path(), &Options::default()).expect_err("refused");
    assert!(matches!(error, BuildError::NoPackage { .. }), "{error}");
}

#[test]
fn a_library_that_is_no_cdylib_is_told_what_to_add() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("src")).expect("a directory");
    std::fs::write(dir.path().join("src/lib.rs"), "//! Nothing.\n").expect("a file");
    std::fs::write(
        dir.path().join("Cargo.toml"),
        "[package]\nname = \"nothing\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
    )
    .expect("a file");
    let error = build_component(dir.path(), &dir.path().join("target"), &Options::default())
        .expect_err("refused");
    assert!(matches!(error, BuildError::NoCdylib { .. }), "{error}");
    assert!(error.to_string().contains("cdylib"));
}
