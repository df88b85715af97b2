//! Builds plugin crates by hand: `cargo run -p pointsman-sdk-build --example components -- OUT_DIR CRATE_DIR…`

use std::io::Write as _;
use std::path::PathBuf;

use pointsman_sdk_build::{BuildError, Options, build_components};

fn main() -> Result<(), BuildError> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let options = Options {
        out_dir: arguments.next(),
        ..Options::default()
    };
    let crates: Vec<PathBuf> = arguments.collect();
    let mut out = std::io::stdout();
    for component in build_components(&crates, "target".as_ref(), &options)? {
        // A closed pipe is the reader's choice, not a failure.
        let _ = writeln!(out, "{:>9}  {}", component.bytes, component.path.display());
    }
    Ok(())
}
