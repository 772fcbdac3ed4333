"""C++ rules of this repository: one place for the flags that an allocator needs."""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")
load("//src:rooms.bzl", "above")

_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Werror",
]

# In front of a target's own copts.  A debug or sanitizer build brings its own -O.
MESH_COPTS = _WARNINGS + [
    "-fPIC",
    # The library must run without libstdc++: no unwinding, no type information.
    "-fno-exceptions",
    "-fno-rtti",
    # Else the compiler turns malloc + memset inside our calloc into a call of calloc, and
    # drops a malloc whose result it thinks unused.
    "-fno-builtin-malloc",
    "-fno-builtin-calloc",
    "-fno-builtin-realloc",
    "-fno-builtin-free",
    # Only what is marked leaves the library.
    "-fvisibility=hidden",
    # The toolchain's default replaces memcpy by __memcpy_chk on the hot paths.
    "-U_FORTIFY_SOURCE",
] + select({
    # A library that is loaded while the program runs; who calls it has a malloc of another's.
    "//src:dynamic_tls_build": ["-ftls-model=local-dynamic"],
    # The thread heap is found by one addition to the thread pointer.  The other models call
    # __tls_get_addr in shared objects, which may allocate.
    "//conditions:default": ["-ftls-model=initial-exec"],
}) + select({
    "//src:debug_build": [],
    # The paths that nearly every call takes keep no frame.
    "//conditions:default": [
        "-O3",
        "-fomit-frame-pointer",
    ],
})

def _own_room():
    """Visibility for the room that this BUILD file belongs to."""
    parts = native.package_name().split("/")
    return above(parts[1]) if len(parts) > 1 and parts[0] == "src" else None

def mesh_cc_library(name, copts = [], visibility = None, **kwargs):
    """A cc_library of a room: allocator flags, visible to the rooms above and to tests.

    Args:
      name: of the target; the main library of a room has the room's name.
      copts: added after MESH_COPTS.
      visibility: replaces above(room).
      **kwargs: for cc_library.
    """
    cc_library(
        name = name,
        copts = MESH_COPTS + copts,
        # Hidden symbols cannot cross the border of a shared object of one's own.
        linkstatic = True,
        visibility = visibility or _own_room(),
        **kwargs
    )

def mesh_cc_test(name, deps = [], copts = [], size = "small", main = True, **kwargs):
    """A GoogleTest program.

    Args:
      name: of the target, x_test for x_test.cc.
      deps: GoogleTest is added.
      copts: added after the warnings.
      size: Bazel's test size, which sets the timeout.
      main: links GoogleTest's main(); False for a test that brings its own.
      **kwargs: for cc_test.
    """
    cc_test(
        name = name,
        size = size,
        # The lock analysis cannot follow TryLock() through GoogleTest's macros.
        copts = _WARNINGS + ["-Wno-thread-safety-analysis"] + copts,
        linkstatic = True,
        deps = deps + ["@googletest//:gtest"] + (["@googletest//:gtest_main"] if main else []),
        **kwargs
    )

def mesh_fuzz_test(name, deps = [], copts = [], tags = [], size = "small", generated = 200, corpus = None, **kwargs):
    """A fuzz target: a source that defines LLVMFuzzerTestOneInput.

    `make fuzz` runs it under libFuzzer; in every other build it is a test that feeds it the files
    of corpus/<name>, and then a fixed series of inputs made from these.

    Args:
      name: of the target, x_fuzz for x_fuzz.cc.
      deps: a main() is added.
      copts: added after the warnings.
      tags: "fuzz" is added, which `make fuzz` looks for, unless "no-fuzz" is among them.
      size: Bazel's test size.
      generated: inputs of the fixed series.
      corpus: whose files it is fed; its own by default.
      **kwargs: for cc_test.
    """
    files = native.glob(["corpus/" + (corpus or name) + "/*"])
    cc_test(
        name = name,
        size = size,
        args = ["--generated=%d" % generated] + ["$(rootpath %s)" % file for file in files],
        copts = _WARNINGS + copts,
        data = files,
        linkopts = select({
            "//src:fuzz_build": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        linkstatic = True,
        tags = tags + ([] if "no-fuzz" in tags else ["fuzz"]),
        deps = deps + select({
            "//src:fuzz_build": [],
            "//conditions:default": ["//tools/fuzz:replay_main"],
        }),
        **kwargs
    )
