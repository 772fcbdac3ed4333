"""with_mesh: a program, or a test, that is linked with libmesh.a as a user's would be."""

def with_mesh(rule, name, srcs, linkopts = [], tags = [], **kwargs):
    """Makes it.

    Args:
      rule: cc_binary or cc_test.
      name: as the rule's.
      srcs: as the rule's; the library is added.
      linkopts: as the rule's; what the library needs is added.
      tags: as the rule's. The library brings malloc and so does a sanitizer, so there is none.
      **kwargs: the rule's other attributes.
    """
    rule(
        name = name,
        srcs = srcs + ["//src/libmesh:libmesh.a"],
        linkopts = [
            "-ldl",
            "-pthread",
        ] + linkopts,
        linkstatic = True,
        tags = tags + ["no-sanitizer"],
        deps = ["//src/libmesh:mesh_h"],
        **kwargs
    )
