//! An installed library instead of one of our own.

use crate::has_feature;
use std::path::Path;

/// Says which library of `make install` serves the features that are on.
///
/// libmesh.so replaces malloc for the whole program; libmesh-api.a has Mesh's own names alone.
fn link() {
    assert!(
        !has_feature("LOCAL_DYNAMIC_TLS"),
        "installed libraries are built for the initial-exec model"
    );
    let is_secure = has_feature("SECURE");
    if has_feature("INTERPOSE") {
        let name = if is_secure { "mesh-secure" } else { "mesh" };
        println!("cargo:rustc-link-lib=dylib={}", name);
    } else {
        assert!(!is_secure, "the installed hardened library, libmesh-secure.so, overrides malloc");
        println!("cargo:rustc-link-lib=static:-bundle=mesh-api");
    }
}

pub fn link_from(directory: &Path) {
    println!("cargo:rustc-link-search=native={}", directory.display());
    link();
}

pub fn link_found_by_pkg_config() {
    let library = pkg_config::Config::new()
        .atleast_version(env!("CARGO_PKG_VERSION"))
        .cargo_metadata(false)
        .probe("mesh")
        .unwrap_or_else(|error| panic!("{}", error));
    for directory in &library.link_paths {
        println!("cargo:rustc-link-search=native={}", directory.display());
    }
    link();
}
