"""The rooms of Mesh, and who may look into which.

A room may use the rooms below it and nothing else.  Visibility enforces the declared
edges; tools/checks/layers.py checks the includes themselves, which gcc cannot.
"""

# From the bottom to the top.
ROOMS = [
    "base",
    "config",
    "os",
    "sizeclass",
    "arena",
    "secure",
    "miniheap",
    "meshing",
    "global",
    "local",
    "fork",
    "control",
    "runtime",
    "libmesh",
]

def above(room):
    """Visibility of a room's targets: every room above it, and the tests.

    Args:
      room: a name from ROOMS.
    Returns:
      Labels for a `visibility` attribute.
    """
    if room not in ROOMS:
        fail("%s is no room; src/rooms.bzl lists %s" % (room, ROOMS))
    higher = ROOMS[ROOMS.index(room) + 1:]
    return (["//src/%s:__subpackages__" % r for r in [room] + higher] +
            ["//test:__subpackages__", "//docs:__subpackages__"])
