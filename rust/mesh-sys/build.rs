//! Finds or builds the library that the bindings belong to.
//!
//! Unless told otherwise it compiles the sources under `mesh/`: in the repository links to the
//! library's own, in a published crate copies. `MESH_SYS_LIB_DIR` names a directory with installed
//! libraries, `MESH_SYS_USE_PKG_CONFIG=1` leaves finding them to pkg-config.

#[path = "build/installed.rs"]
mod installed;
#[path = "build/sources.rs"]
mod sources;

use std::env;
use std::path::Path;

/// Whether a feature of this crate is on.
pub(crate) fn has_feature(name: &str) -> bool {
    env::var_os(format!("CARGO_FEATURE_{}", name)).is_some()
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-env-changed=MESH_SYS_LIB_DIR");
    println!("cargo:rerun-if-env-changed=MESH_SYS_USE_PKG_CONFIG");
    println!("cargo:rerun-if-env-changed=DOCS_RS");
    // Documentation and lints need no library.
    if env::var_os("DOCS_RS").is_some() {
        return;
    }
    let system = env::var("CARGO_CFG_TARGET_OS").unwrap();
    let machine = env::var("CARGO_CFG_TARGET_ARCH").unwrap();
    assert!(
        system == "linux" && (machine == "x86_64" || machine == "aarch64"),
        "Mesh runs on Linux, on x86-64 and aarch64; not on {} on {}",
        system,
        machine
    );
    if let Some(directory) = env::var_os("MESH_SYS_LIB_DIR") {
        installed::link_from(Path::new(&directory));
    } else if env::var_os("MESH_SYS_USE_PKG_CONFIG").map_or(false, |value| value != "0") {
        installed::link_found_by_pkg_config();
    } else {
        sources::build_and_link();
    }
}
