"""Uses and meshes the heap: alone, in threads and in a forked child, and prints what it has kept.

Where there is no memory it says so and goes on. The last line is the number of spans meshed.
Argument: objects that each part makes.
"""

import ctypes
import hashlib
import os
import sys
import threading

NO_MEMORY = "no memory"
SEEDS_OF_THREADS = (1, 2)
OBJECTS = int(sys.argv[1])


def _live(seed: int) -> str:
    """Makes small objects and a large one; one small one of eight stays. Returns their digest."""
    objects = [bytes([(seed + i) % 256]) * (20 + i * 7919 % 900) for i in range(OBJECTS)]
    large = bytearray(seed.to_bytes(1, "big") * (1 << 19))
    kept = objects[::8]
    del objects
    ctypes.CDLL(None).mesh_mallctl(b"mesh.compact", None, None, None, 0)
    return hashlib.sha256(b"".join(kept) + large).hexdigest()


def _try_to_live(seed: int) -> str:
    try:
        return _live(seed)
    except MemoryError:
        return NO_MEMORY


def _live_in_threads() -> list[str]:
    kept: dict[int, str] = {}

    def live(seed: int) -> None:
        kept[seed] = _try_to_live(seed)

    threads = [threading.Thread(target=live, args=(seed,)) for seed in SEEDS_OF_THREADS]
    for thread in threads:
        thread.start()
    kept[0] = _try_to_live(0)
    for thread in threads:
        thread.join()
    return [kept[seed] for seed in sorted(kept)]


def _live_in_child(seed: int) -> str:
    reading, writing = os.pipe()
    try:
        child = os.fork()
    except OSError:
        return NO_MEMORY
    if child == 0:
        os.write(writing, _try_to_live(seed).encode())
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return os.read(reading, 1000).decode() if status == 0 else f"the child ended with {status}"


def _spans_meshed() -> int:
    value = ctypes.c_size_t(0)
    size = ctypes.c_size_t(ctypes.sizeof(value))
    ctypes.CDLL(None).mesh_mallctl(
        b"stats.mesh_count", ctypes.byref(value), ctypes.byref(size), None, 0
    )
    return value.value


def _main() -> None:
    for line in (_try_to_live(5), *_live_in_threads(), _live_in_child(6), _try_to_live(7)):
        print(line)
    print(_spans_meshed())


_main()
