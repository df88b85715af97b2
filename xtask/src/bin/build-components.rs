//! Builds plugin crates into components: `build-components OUT_DIR CRATE_DIR…`. A process of its own, so that xtask
//! itself stays light to compile.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use pointsman_sdk_build::{Options, build_components};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let options = Options {
        out_dir: arguments.next(),
        ..Options::default()
    };
    let crates: Vec<PathBuf> = arguments.collect();
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let mut stderr = std::io::stderr().lock();
    match build_components(&crates, &target, &options) {
        Ok(components) => {
            for component in components {
                let size = component.bytes.div_ceil(1024);
                let _closed_by_the_reader =
                    writeln!(stderr, "    {size:>5} KiB  {}", component.name);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _closed_by_the_reader = writeln!(stderr, "error: {error}");
            ExitCode::FAILURE
        }
    }
}
