//! An installed library instead of one of our own.

use crate::has_feature;
use std::path::Path;

/// Says which library of `make install` serves the features that are on.
///
/// libmesh.so replaces malloc for the whole program; libmesh-api.a has Mesh's own names alone.
fn link() {
    let is_secure = has_feature("SECURE");
    let is_loaded_late = has_feature("LOCAL_DYNAMIC_TLS");
    if has_feature("INTERPOSE") {
        assert!(
            !is_loaded_late,
            "the installed libmesh.so is not for libraries that are loaded late"
        );
        println!("cargo:rustc-link-lib=dylib={}", if is_secure { "mesh-secure" } else { "mesh" });
    } else {
        assert!(!is_secure, "the installed hardened library, libmesh-secure.so, overrides malloc");
        let name = if is_loaded_late { "mesh-api-dynamic-tls" } else { "mesh-api" };
        println!("cargo:rustc-link-lib=static:-bundle={}", name);
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
