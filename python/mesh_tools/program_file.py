"""Looks at a program's file and says why Mesh could not serve it, if so.

LD_PRELOAD is read by the dynamic loader of glibc, for programs of its own architecture that do not
run with raised rights; and a program that brings an allocator of its own never asks for ours.
"""

import dataclasses
import os
import pathlib
import shutil
import stat
from collections.abc import Iterable

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from elftools.elf.segments import InterpSegment

from . import command_line

# Functions that tell an allocator inside a program, the most telling first.
_SIGNATURES = {
    "mi_malloc": "mimalloc",
    "je_malloc": "jemalloc",
    "_rjem_malloc": "jemalloc",
    "mallctl": "jemalloc",
    "tc_malloc": "tcmalloc",
    "TCMallocInternalMalloc": "tcmalloc",
    "sn_malloc": "snmalloc",
    "scudo_malloc": "scudo",
    "rpmalloc": "rpmalloc",
    "__asan_init": "AddressSanitizer",
    "__tsan_init": "ThreadSanitizer",
}
# What stripped ones still say in their messages.
_PHRASES = {
    b"<jemalloc>: ": "jemalloc",
    b"mimalloc: ": "mimalloc",
    b"tcmalloc: ": "tcmalloc",
}
_GO_SECTIONS = (".go.buildinfo", ".note.go.buildid")
_MOST_SCRIPTS = 5


@dataclasses.dataclass(frozen=True)
class Program:
    """What was found.

    Attributes:
        path: the ELF file that the kernel will run: of a script, its interpreter.
        problem: why Mesh cannot serve it, in one sentence; None if it can.
        bundled: the problem is an allocator inside the program, which is a guess.
    """

    path: pathlib.Path
    problem: str | None = None
    bundled: bool = False


def find(name: str) -> pathlib.Path:
    """Returns the file that a command runs, looked for as execvp(3) does.

    Raises: command_line.UsageError: there is none.
    """
    found = shutil.which(name)
    if found is None:
        if "/" in name and pathlib.Path(name).exists():
            raise command_line.UsageError(f"{name} cannot be executed")
        raise command_line.UsageError(f"there is no program {name}")
    return pathlib.Path(found)


def inspect(path: pathlib.Path, library: pathlib.Path) -> Program:
    """Looks at a program as what is to run with `library` preloaded.

    Raises: command_line.UsageError: it is no program, or cannot be read.
    """
    for _ in range(_MOST_SCRIPTS):
        interpreter = _interpreter_of_script(path)
        if interpreter is None:
            break
        path = interpreter
    try:
        with path.open("rb") as file, library.open("rb") as own:
            return _inspect_elf(path, ELFFile(file), ELFFile(own))
    except ELFError as error:
        raise command_line.UsageError(f"{path} is neither a program nor a script") from error
    except OSError as error:
        raise command_line.UsageError(f"{path} cannot be read: {error.strerror}") from error


def _interpreter_of_script(path: pathlib.Path) -> pathlib.Path | None:
    try:
        with path.open("rb") as file:
            first = file.readline(512)
    except OSError as error:
        raise command_line.UsageError(f"{path} cannot be read: {error.strerror}") from error
    if not first.startswith(b"#!"):
        return None
    words = first[2:].decode(errors="replace").split()
    if not words:
        raise command_line.UsageError(f"{path} names no interpreter")
    if pathlib.Path(words[0]).name == "env":
        names = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        if names:
            return find(names[0])
    return find(words[0])


def _inspect_elf(path: pathlib.Path, elf: ELFFile, own: ELFFile) -> Program:
    machine, ours = elf.get_machine_arch(), own.get_machine_arch()
    if (machine, elf.elfclass) != (ours, own.elfclass):
        return Program(path, f"is for another architecture ({machine}; libmesh.so is for {ours})")
    loader = next(
        (s.get_interp_name() for s in elf.iter_segments() if isinstance(s, InterpSegment)), None
    )
    if loader is None:
        return Program(path, "is linked statically: no loader preloads anything into it")
    if pathlib.Path(loader).name.startswith("ld-musl"):
        return Program(path, "is linked with musl, and libmesh.so needs glibc")
    raised = _raised_rights(path)
    if raised is not None:
        return Program(path, f"{raised}: the loader ignores LD_PRELOAD there")
    bundled = _bundled_allocator(path, elf)
    if bundled is not None:
        return Program(path, f"brings an allocator of its own ({bundled})", bundled=True)
    return Program(path)


def _raised_rights(path: pathlib.Path) -> str | None:
    status = path.stat()
    if status.st_mode & stat.S_ISUID and status.st_uid != os.getuid():
        return f"is set-user-ID of user {status.st_uid}"
    if status.st_mode & stat.S_ISGID and status.st_gid != os.getgid():
        return f"is set-group-ID of group {status.st_gid}"
    try:
        has_capabilities = "security.capability" in os.listxattr(path)
    except OSError:
        has_capabilities = False
    return "has file capabilities" if has_capabilities and os.getuid() != 0 else None


def _bundled_allocator(path: pathlib.Path, elf: ELFFile) -> str | None:
    """Returns the name of an allocator inside the program."""
    if any(elf.get_section_by_name(name) is not None for name in _GO_SECTIONS):
        return "Go's runtime"
    defined: set[str] = set()
    imported: set[str] = set()
    for section in elf.iter_sections():
        if isinstance(section, SymbolTableSection):
            for symbol in section.iter_symbols():
                is_import = symbol["st_shndx"] == "SHN_UNDEF"
                (imported if is_import else defined).add(symbol.name)
    name = next((own for known, own in _SIGNATURES.items() if known in defined), None)
    if name is not None or "malloc" in defined:
        return name or "its name is not known"
    # Not stripped, or asks for malloc: what it says in its messages is about another library.
    if "malloc" in imported or _needs(elf, _PHRASES.values()):
        return None
    text = path.read_bytes()
    return next((own for phrase, own in _PHRASES.items() if phrase in text), None)


def _needs(elf: ELFFile, names: Iterable[str]) -> bool:
    """Says whether the program is linked to a library with one of the names: preloading wins."""
    return any(
        tag.entry.d_tag == "DT_NEEDED"
        and any(name in str(getattr(tag, "needed", "")) for name in names)
        for section in elf.iter_sections()
        if isinstance(section, DynamicSection)
        for tag in section.iter_tags()
    )
