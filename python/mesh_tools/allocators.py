"""Which allocators are compared, and how a program is made to run on each."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping

# glibc's malloc lives in libc itself: preloading libc puts it before an allocator that the program
# is linked to.
GLIBC_PRELOAD = "libc.so.6"
ACTIVE_DEFRAG = "activedefrag"
MESH = "mesh"

# What the packages of Debian and Ubuntu call the libraries; the newest first.
_PEER_SONAMES = {
    "jemalloc": ["libjemalloc.so.2"],
    "tcmalloc": ["libtcmalloc_minimal.so.4"],
    "mimalloc": ["libmimalloc.so.3", "libmimalloc.so.2", "libmimalloc.so.2.0"],
}

_MESH_LINES = {
    "meshes": re.compile(r"^MESH COUNT:\s+(\d+)", re.MULTILINE),
    "meshed_mb": re.compile(r"^Meshed MB \(total\):\s+(\d+(?:\.\d+)?)", re.MULTILINE),
}


class PeerError(ValueError):
    """A peer on the command line cannot be used."""


@dataclasses.dataclass(frozen=True)
class Allocator:
    """One allocator under test.

    Attributes:
        name: short name, for files and the legend.
        preload: library for LD_PRELOAD, None to run the program as it is.
        environment: variables the allocator is run with.
        active_defrag: switch on Redis's own defragmentation.
    """

    name: str
    preload: str | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    active_defrag: bool = False

    def make_environment(self) -> dict[str, str]:
        """Returns this process's environment with the allocator put in place."""
        environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        if self.preload is not None:
            environment["LD_PRELOAD"] = self.preload
        environment.update(self.environment)
        return environment


@dataclasses.dataclass(frozen=True)
class MeshReport:
    """What Mesh prints at exit under MALLOCSTATS=1; meshed_mb is the total given back [MB]."""

    meshes: int
    meshed_mb: float


def builtin() -> Allocator:
    """Returns the program as its package made it."""
    return Allocator("built-in")


def glibc() -> Allocator:
    """Returns glibc's malloc, for programs that are linked to another one."""
    return Allocator("glibc", preload=GLIBC_PRELOAD)


def mesh(library: pathlib.Path) -> Allocator:
    """Returns Mesh by preloading, with its report at exit."""
    return Allocator(MESH, preload=str(library), environment={"MALLOCSTATS": "1"})


def hardened(mesh_allocator: Allocator, level: int) -> Allocator:
    """Returns Mesh with MESH_SECURE at `level`, 1 to 4, under the name mesh-LEVEL."""
    environment = {**mesh_allocator.environment, "MESH_SECURE": str(level)}
    return dataclasses.replace(mesh_allocator, name=f"{MESH}-{level}", environment=environment)


def parse_peer(text: str) -> Allocator:
    """Reads one --peers entry: `NAME=LIBRARY`, or `activedefrag`.

    Raises:
        PeerError: neither of the two forms, or no such file.
    """
    if text == ACTIVE_DEFRAG:
        return Allocator(ACTIVE_DEFRAG, active_defrag=True)
    name, separator, library = text.partition("=")
    if not (name and separator and library):
        raise PeerError(f"peer '{text}' is neither NAME=LIBRARY nor {ACTIVE_DEFRAG}")
    path = pathlib.Path(library)
    if not path.is_file():
        raise PeerError(f"peer '{name}': there is no library {library}")
    return Allocator(name, preload=str(path.absolute()))


def find_library(soname: str) -> pathlib.Path | None:
    """Returns an installed library, looked for where the loader looks by default."""
    for directory in ("/usr/local/lib", "/usr/lib64", "/usr/lib", "/lib"):
        for pattern in (soname, f"*-linux-gnu*/{soname}"):
            for found in sorted(pathlib.Path(directory).glob(pattern)):
                return found
    return None


def installed_peers() -> list[Allocator]:
    """Returns glibc and the allocators that this machine's packages bring."""
    found = [glibc()]
    for name, sonames in _PEER_SONAMES.items():
        library = next((lib for soname in sonames if (lib := find_library(soname))), None)
        if library is not None:
            found.append(Allocator(name, preload=str(library)))
    return found


def parse_mesh_report(stderr: str) -> MeshReport | None:
    """Finds Mesh's exit report in a program's stderr; None when there is none.

    Where children report too, the last report is the program's own: it outlives them.
    """
    meshes = _MESH_LINES["meshes"].findall(stderr)
    meshed_mb = _MESH_LINES["meshed_mb"].findall(stderr)
    if not meshes:
        return None
    return MeshReport(meshes=int(meshes[-1]), meshed_mb=float(meshed_mb[-1]) if meshed_mb else 0.0)
