"""A core dump holds the live heap, meshed or not, where the debugger looks for it, and not the
address space that is only reserved.

test/programs/core_victim.c aborts with a meshed heap of known bytes; gdb reads them from the dump.

Environment: MESH_PROGRAMS, the paths of the programs, separated by blanks.
"""

import pathlib
import resource
import signal
from collections.abc import Callable

import pytest

from . import harness, tiers

# The victim's heap takes a tenth of this; the arena alone reserves 1 GiB.
MOST_BYTES = 160 << 20

CORE_PATTERN = pathlib.Path("/proc/sys/kernel/core_pattern")

# Run inside gdb: says how many of the victim's objects are wrong or not there.
READ_OBJECTS = """
import gdb, struct
COUNT, SIZE = 2000, 200
memory = gdb.selected_inferior()
table = int(gdb.parse_and_eval("(long)&victim_objects"))
addresses = struct.unpack(f"{COUNT}Q", memory.read_memory(table, 8 * COUNT).tobytes())
wrong = absent = 0
for index, address in enumerate(addresses):
    try:
        found = memory.read_memory(address, SIZE).tobytes()
    except gdb.MemoryError:
        absent += 1
        continue
    wrong += found != bytes([index % 256]) * SIZE
print(f"objects: {COUNT} wrong: {wrong} absent: {absent}")
"""


def _dump_by_kernel(sandbox: harness.Sandbox, situation: tiers.Situation) -> None:
    """The victim dies, and the kernel writes its dump beside it."""
    if "/" in CORE_PATTERN.read_text() or resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("this machine's dumps go elsewhere")
    outcome = sandbox.run(tiers.path("core_victim"), *situation.words, status=None)
    assert outcome.status == -signal.SIGABRT, harness.describe(outcome)


def _dump_by_debugger(sandbox: harness.Sandbox, situation: tiers.Situation) -> None:
    """The victim runs in the debugger, which writes the dump."""
    words = (
        "set startup-with-shell off",
        f"set environment LD_PRELOAD={harness.library()}",
        # The last tier's write barrier.
        "handle SIGSEGV nostop noprint pass",
        "run",
        "generate-core-file core",
    )
    script = sandbox.write("run.gdb", "\n".join(words))
    command = ("gdb", "-nx", "-batch", "-x", script, "--args", tiers.path("core_victim"))
    sandbox.run(*command, *situation.words, extra={"LD_PRELOAD": ""}, status=None)


@pytest.mark.parametrize("make_dump", [_dump_by_kernel, _dump_by_debugger])
@pytest.mark.parametrize("expect_fork", ["0", "1"])
@pytest.mark.parametrize("situation", tiers.EVERY, ids=str)
def test_core_dump_holds_the_heap(
    situation: tiers.Situation,
    expect_fork: str,
    make_dump: Callable[[harness.Sandbox, tiers.Situation], None],
    root: pathlib.Path,
) -> None:
    """All objects are in the dump at their addresses, with shared and with private views."""
    gdb = harness.program("gdb")
    tiers.need_kernel(situation)
    settings = {"MESH_BARRIER": situation.barrier, "MESH_EXPECT_FORK": expect_fork}
    sandbox = harness.Sandbox(root, harness.library(), settings)
    root.chmod(0o777)
    make_dump(sandbox, situation)
    dumps = [path for path in root.iterdir() if path.name.startswith("core")]
    assert len(dumps) == 1, f"dumps: {dumps}"
    assert dumps[0].stat().st_size < MOST_BYTES
    script = sandbox.write("read.py", READ_OBJECTS)
    command = (gdb, "-nx", "-batch", "-x", script, tiers.path("core_victim"), dumps[0])
    read = harness.run_program(command, harness.Sandbox(root / "gdb", None, {}).environment(), root)
    assert b"objects: 2000 wrong: 0 absent: 0" in read.stdout, harness.describe(read)
