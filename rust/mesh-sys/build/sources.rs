//! Compiles the library. Flags and groups are those of the repository's own build (src/mesh.bzl and
//! src/libmesh/BUILD.bazel).

use crate::has_feature;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The part of the library that a source of `src/libmesh` belongs to.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// The names of mesh/mesh.h, start and exit.
    Api,
    /// malloc's names.
    Override,
    /// operator new's, which have to catch what a new-handler throws.
    OverrideWithExceptions,
    /// Where the buffers of stdio go: `Override` asks, `Interpose` finds out.
    FileBuffer,
    /// Calls of libc that are looked at on their way.
    Interpose,
    /// What makes the highest level of hardening the default.
    Secure,
}

/// All others are of the API.
const PARTS: &[(&str, Part)] = &[
    ("mallinfo.cc", Part::Override),
    ("malloc_functions.cc", Part::Override),
    ("malloc_reports.cc", Part::Override),
    ("operator_new.cc", Part::OverrideWithExceptions),
    ("file_buffer.cc", Part::FileBuffer),
    ("load.cc", Part::Interpose),
    ("loan.cc", Part::Interpose),
    ("real.cc", Part::Interpose),
    ("secure_by_default.cc", Part::Secure),
    ("syscall_entry.S", Part::Interpose),
    ("syscall_stores.cc", Part::Interpose),
];

fn part_of(name: &str) -> Part {
    if name.starts_with("interpose_") {
        return Part::Interpose;
    }
    let found = PARTS.iter().find(|(source, _)| *source == name);
    found.map_or(Part::Api, |(_, part)| *part)
}

/// Whether the features that are on need a part.
fn is_wanted(part: Part) -> bool {
    // A static program has no second `read` to find behind its own.
    let is_static = env::var("CARGO_CFG_TARGET_FEATURE")
        .map_or(false, |features| features.split(',').any(|feature| feature == "crt-static"));
    let has_interpose = has_feature("INTERPOSE") && !is_static;
    match part {
        Part::Api => true,
        Part::Override | Part::OverrideWithExceptions => has_feature("OVERRIDE"),
        Part::FileBuffer => has_feature("OVERRIDE") || has_interpose,
        Part::Interpose => has_interpose,
        Part::Secure => has_feature("SECURE"),
    }
}

/// All files below a directory, in the order of their names.
fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {}", directory.display(), error));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The compiler with the flags of src/mesh.bzl, which says why each is there.
fn compiler(root: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        // The library needs libc alone.
        .cpp_link_stdlib(None)
        .cpp_set_stdlib(None)
        .cargo_metadata(false)
        // Warnings are for those who work on the library, and a debug build of a program wants its
        // own functions to debug, not a slow malloc.
        .warnings(false)
        .debug(false)
        .force_frame_pointer(false)
        .opt_level(3)
        .pic(true)
        .include(root)
        .include(root.join("heap-layers"))
        .include(root.join("src/libmesh"))
        .flag("-std=c++20")
        .flag("-fno-rtti")
        .flag("-fno-builtin-malloc")
        .flag("-fno-builtin-calloc")
        .flag("-fno-builtin-realloc")
        .flag("-fno-builtin-free")
        .flag("-fvisibility=hidden")
        .flag("-U_FORTIFY_SOURCE");
    build.flag(if has_feature("LOCAL_DYNAMIC_TLS") {
        "-ftls-model=local-dynamic"
    } else {
        "-ftls-model=initial-exec"
    });
    build
}

/// Compiles what is wanted of `mesh/` into one archive and links the whole of it: nothing refers to
/// the constructors, nor from inside a crate to `malloc`.
pub fn build_and_link() {
    let root = Path::new(&env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("mesh");
    let mut files = Vec::new();
    files_below(&root.join("src"), &mut files);
    files_below(&root.join("heap-layers"), &mut files);
    let mut plain = Vec::new();
    let mut with_exceptions = Vec::new();
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
        if !file.extension().map_or(false, |suffix| suffix == "cc" || suffix == "S") {
            continue;
        }
        let is_outside = file.starts_with(root.join("src/libmesh"));
        let part = match is_outside {
            true => part_of(file.file_name().unwrap().to_str().unwrap()),
            false => Part::Api,
        };
        if is_wanted(part) {
            let with = part == Part::OverrideWithExceptions;
            if with { &mut with_exceptions } else { &mut plain }.push(file);
        }
    }
    let archive = |name: &str, sources: &[&PathBuf], exceptions: &str| {
        if sources.is_empty() {
            return;
        }
        compiler(&root).flag(exceptions).files(sources).compile(name);
        println!("cargo:rustc-link-lib=static:-bundle,+whole-archive={}", name);
    };
    archive("mesh", &plain, "-fno-exceptions");
    archive("mesh_new", &with_exceptions, "-fexceptions");
    println!("cargo:rustc-link-search=native={}", env::var("OUT_DIR").unwrap());
    println!("cargo:include={}", root.join("src/libmesh").display());
}
