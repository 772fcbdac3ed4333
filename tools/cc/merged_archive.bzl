"""merged_archive: one static library with all that its dependencies are made of.

A cc_library's own .a holds only its own objects.  This one is complete, and it is a single
object in which hidden symbols have become local: a program that links it gets the
allocator as a whole or not at all, and none of its inner names can clash.
"""

load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

_COMMAND = """\
set -e
out=$1; shift
object=${out%.a}.merged.o
ld -r --force-group-allocation -o "$object" "$@"
objcopy --localize-hidden "$object"
rm -f "$out"
ar qcsD "$out" "$object"
rm -f "$object"
"""

def _objects_of(dep):
    objects = []
    for linker_input in dep[CcInfo].linking_context.linker_inputs.to_list():
        for library in linker_input.libraries:
            objects += library.pic_objects or library.objects or []
    return objects

def _merged_archive_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    objects = depset([o for d in ctx.attr.deps for o in _objects_of(d)])
    ctx.actions.run_shell(
        command = _COMMAND,
        arguments = [out.path] + [o.path for o in objects.to_list()],
        inputs = objects,
        outputs = [out],
        use_default_shell_env = True,
        mnemonic = "MergeArchive",
        progress_message = "Merging %s" % out.short_path,
    )
    return [DefaultInfo(files = depset([out]), runfiles = ctx.runfiles([out]))]

def _dynamic_tls_impl(_settings, _attr):
    return {"//src:dynamic_tls": True}

_dynamic_tls = transition(
    implementation = _dynamic_tls_impl,
    inputs = [],
    outputs = ["//src:dynamic_tls"],
)

dynamic_tls_archive = rule(
    implementation = _merged_archive_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo], mandatory = True, cfg = _dynamic_tls),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    doc = "A merged_archive for libraries that are loaded while a program runs: it takes no room " +
          "in the static thread-local storage, which is small and shared by all of them.",
)

merged_archive = rule(
    implementation = _merged_archive_impl,
    attrs = {"deps": attr.label_list(providers = [CcInfo], mandatory = True)},
    doc = "The name is the file's name, e.g. libmesh.a.",
)
