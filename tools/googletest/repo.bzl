"""GoogleTest from a source tree that is already on the machine.

Looks at $GOOGLETEST_SRC, then /usr/src/googletest (Debian/Ubuntu package
`googletest`)."""

def _impl(rctx):
    wanted = rctx.os.environ.get("GOOGLETEST_SRC", "")
    for d in [wanted] if wanted else rctx.attr.candidates:
        if rctx.path(d + "/googletest/include/gtest/gtest.h").exists:
            rctx.symlink(d + "/googletest", "googletest")
            rctx.symlink(d + "/googlemock", "googlemock")
            rctx.symlink(rctx.attr.build_file, "BUILD.bazel")
            return
    fail("no GoogleTest sources (looked at %s): apt-get install googletest, or set GOOGLETEST_SRC" %
         (wanted or rctx.attr.candidates))

system_googletest = repository_rule(
    implementation = _impl,
    attrs = {
        "build_file": attr.label(default = "//tools/googletest:googletest.BUILD"),
        "candidates": attr.string_list(default = ["/usr/src/googletest"]),
    },
    environ = ["GOOGLETEST_SRC"],
)
