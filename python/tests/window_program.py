"""A program for tests that look from outside: it makes holes in its heap, and does what it is told.

    window_program.py JSON-LIST-OF-KEYS

Each line on stdin is a command: "compact" runs mesh.compact, "wait" sleeps in naps until the next
line comes, "stats" prints one JSON object of the keys. Preloaded with libmesh, PYTHONMALLOC=malloc.
"""

import ctypes
import json
import select
import sys
from collections.abc import Callable

# Of them every tenth is kept: holes enough that meshing finds something.
_OBJECTS = 60_000
_OBJECT_BYTES = 100
_NAP_S = 0.01


def _reader(keys: list[str]) -> Callable[[], dict[str, int]]:
    """Makes a function that reads all keys and allocates little while it does."""
    mallctl = ctypes.CDLL(None).mesh_mallctl
    rows = [(key.encode(), ctypes.c_size_t(), ctypes.c_size_t(8)) for key in keys]

    def read() -> dict[str, int]:
        for name, value, size in rows:
            error = mallctl(name, ctypes.byref(value), ctypes.byref(size), None, None)
            assert error == 0, (name, error)
        return {name.decode(): value.value for name, value, _ in rows}

    return read


def main() -> None:
    """Serves until stdin ends."""
    read = _reader(json.loads(sys.argv[1]))
    mallctl = ctypes.CDLL(None).mesh_mallctl
    objects = [bytes(_OBJECT_BYTES) for _ in range(_OBJECTS)]
    kept = objects[::10]
    del objects
    large = ctypes.create_string_buffer(1 << 20)
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "compact\n":
            mallctl(b"mesh.compact", None, None, None, None)
        if line == "wait\n":
            while not select.select([sys.stdin], [], [], _NAP_S)[0]:
                pass
        print(json.dumps(read()) if line == "stats\n" else "done", flush=True)
    del kept, large


if __name__ == "__main__":
    main()
