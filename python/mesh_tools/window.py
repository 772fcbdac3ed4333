"""Reads the memory of a running program that has Mesh in it, and asks it for work.

The library writes nothing for us. An ELF note in its image leads to a table of where its counters
lie (src/control/window.h); they are read through /proc/PID/mem, while the program runs or is
stopped. The kernel lets the same user do that, or root, as with a debugger.

    /proc/PID/maps -> ELF header in memory -> note "Mesh" -> WindowHead -> fields -> counters

No lock is held: each word is whole, two words may be of different moments.
"""

import contextlib
import dataclasses
import os
import pathlib
import struct
import time
from collections.abc import Iterator

_PROC = pathlib.Path("/proc")
_YAMA = pathlib.Path("/proc/sys/kernel/yama/ptrace_scope")

# ELF64, little endian. Source: elf(5).
_ELF_MAGIC = b"\x7fELF\x02\x01"
_ELF_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_PT_LOAD, _PT_NOTE = 1, 4
_ET_DYN = 3
_NOTE_HEADER = struct.Struct("<III")
_MOST_HEADERS = 64
_MOST_NOTE_BYTES = 1 << 16

# src/control/window.h
_NOTE_NAME = b"Mesh\0"
_NOTE_TYPE = 1
_MAGIC = b"MESHWIN\0"
_VERSION = 2
_HEAD = struct.Struct("<8sIIQQQQQQ")
_FIELD = struct.Struct("<40sII")
_MOST_FIELDS = 1000
_ASKED, _BEGUN, _SERVED, _COMMAND = 0, 4, 8, 12
_VALUE, _RESULT = 16, 24

_POLL_S = 0.01


class WindowError(Exception):
    """A process cannot be looked into; the text is one line that says why."""


class NoSuchProcess(WindowError):
    """There is no process of this number (any more)."""


class NotPermitted(WindowError):
    """The kernel does not let us read its memory."""


class NotMesh(WindowError):
    """Mesh is not in this process, or is of another version."""


class NotServed(WindowError):
    """The process has not come by to do what it was asked."""


@dataclasses.dataclass(frozen=True)
class Field:
    """A place of `size` bytes, `offset` behind its record; a constant where size is 0."""

    offset: int
    size: int


class Memory:
    """The memory of another process.

    Raises: NoSuchProcess, NotPermitted.
    """

    def __init__(self, pid: int, writable: bool = False) -> None:
        self.pid = pid
        self._file = -1
        with self._explained():
            flags = os.O_RDWR if writable else os.O_RDONLY
            self._file = os.open(_PROC / str(pid) / "mem", flags | os.O_CLOEXEC)

    def close(self) -> None:
        """Lets go of the process."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def read(self, address: int, size: int) -> bytes:
        """Returns `size` bytes.

        Raises: WindowError: they are not there (any more).
        """
        with self._explained():
            data = os.pread(self._file, size, address) if 0 <= address < 1 << 63 else b""
        if len(data) != size:
            raise NoSuchProcess(f"process {self.pid} has ended, or has given up this memory")
        return data

    def integer(self, address: int, size: int) -> int:
        """Returns an unsigned number of `size` bytes."""
        return int.from_bytes(self.read(address, size), "little")

    def write(self, address: int, data: bytes) -> None:
        """Stores in one call, so that an aligned word is stored whole."""
        with self._explained():
            os.pwrite(self._file, data, address)

    def images(self) -> Iterator[int]:
        """Yields where ELF files are mapped, those called libmesh first.

        Raises: NoSuchProcess, NotPermitted.
        """
        with self._explained():
            lines = (_PROC / str(self.pid) / "maps").read_text(errors="replace").splitlines()
        starts: dict[int, str] = {}
        for line in lines:
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[2].strip("0") == "" and fields[5].startswith("/"):
                starts.setdefault(int(fields[0].split("-")[0], 16), fields[5])
        yield from sorted(starts, key=lambda start: "libmesh" not in starts[start])

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, ProcessLookupError) as error:
            raise NoSuchProcess(f"there is no process {self.pid}") from error
        except PermissionError as error:
            raise NotPermitted(self._why_denied()) from error
        except OSError as error:
            raise NoSuchProcess(
                f"process {self.pid} has ended, or has given up this memory"
            ) from error

    def _why_denied(self) -> str:
        try:
            owner = os.stat(_PROC / str(self.pid)).st_uid
        except OSError:
            owner = os.getuid()
        if owner != os.getuid():
            return f"process {self.pid} belongs to user {owner}: only that user and root may look"
        try:
            scope = int(_YAMA.read_text())
        except (OSError, ValueError):
            scope = 0
        if scope > 0:
            return (
                f"the kernel does not let us look into process {self.pid}: run this as root, or "
                f"sysctl kernel.yama.ptrace_scope=0 (it is {scope})"
            )
        hint = "a security module, or another user namespace" if os.getuid() == 0 else "run as root"
        return f"the kernel does not let us look into process {self.pid}: {hint}"


def _note_address(memory: Memory, image: int) -> int | None:
    """Returns where the description of the note lies, if the ELF file at `image` has one."""
    start = memory.read(image, 64)
    if not start.startswith(_ELF_MAGIC):
        return None
    kind, _, _, _, table, _, _, _, entry_size, count, *_ = _ELF_HEADER.unpack(start)
    if entry_size != _PROGRAM_HEADER.size or count > _MOST_HEADERS:
        return None
    raw = memory.read(image + table, entry_size * count)
    headers = list(_PROGRAM_HEADER.iter_unpack(raw))
    first_load = next((h[3] for h in headers if h[0] == _PT_LOAD and h[2] == 0), 0)
    bias = image - first_load if kind == _ET_DYN else 0
    for segment, _, _, address, _, size, _, _ in headers:
        if segment == _PT_NOTE and size <= _MOST_NOTE_BYTES:
            notes: int = bias + address
            found = _find_note(memory.read(notes, size))
            if found is not None:
                return notes + found
    return None


def _find_note(notes: bytes) -> int | None:
    """Returns the offset of the description of Mesh's note among `notes`."""
    at: int = 0
    while at + _NOTE_HEADER.size <= len(notes):
        name_size, size, kind = _NOTE_HEADER.unpack_from(notes, at)
        name = at + _NOTE_HEADER.size
        description: int = name + (name_size + 3 & ~3)
        if notes[name : name + name_size] == _NOTE_NAME and (kind, size) == (_NOTE_TYPE, 8):
            return description
        at = description + (size + 3 & ~3)
    return None


class Window:
    """One process's Mesh: named fields of its state.

    Args: pid: the process. writable: for requests.
    Raises: NoSuchProcess, NotPermitted, NotMesh.
    """

    def __init__(self, pid: int, writable: bool = False) -> None:
        self.memory = Memory(pid, writable)
        try:
            head = self._find_head()
            magic, version, count, ready, *places = _HEAD.unpack(self.memory.read(head, _HEAD.size))
            if magic != _MAGIC or version != _VERSION or count > _MOST_FIELDS:
                raise NotMesh(f"process {pid} runs a Mesh that this command does not know")
            self.runtime, self.segments, self.infos, self._request, fields = places
            if self.memory.integer(ready, 1) == 0:
                raise NotMesh(f"process {pid} has Mesh, and has not allocated anything by now")
            self._fields = self._read_fields(fields, count)
        except BaseException:
            self.memory.close()
            raise

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, *_: object) -> None:
        self.memory.close()

    @property
    def pid(self) -> int:
        """The process."""
        return self.memory.pid

    def field(self, name: str) -> Field:
        """Returns a place by its name.

        Raises: NotMesh: this version of Mesh has none.
        """
        try:
            return self._fields[name]
        except KeyError:
            raise NotMesh(f"the Mesh of process {self.pid} has no field {name}") from None

    def constant(self, name: str) -> int:
        """Returns the value of a constant."""
        return self.field(name).offset

    def runtime_value(self, name: str) -> int:
        """Returns a number of the one object of all state."""
        return self.value(self.runtime, f"runtime.{name}")

    def value(self, record: int, name: str) -> int:
        """Returns a number of the record at an address."""
        place = self.field(name)
        return self.memory.integer(record + place.offset, place.size)

    def request(self, command: str, value: int, timeout_s: float) -> int:
        """Has the process do something, and waits until it is done; opened writable.

        A thread of it that comes to allocate or free, or is about to sleep, does the work.
        Args: command: "compact", "scavenge" or "period". value: of "period" [ms].
        Returns: bytes given back.
        Raises: NotServed: not within timeout_s; it is done as soon as a thread comes by.
        """
        base = self._request
        asked, served = (self.memory.integer(base + at, 4) for at in (_ASKED, _SERVED))
        if asked != served:
            raise NotServed(f"process {self.pid} has not done yet what it was asked before")
        number = (served + 1) & 0xFFFFFFFF
        self.memory.write(base + _VALUE, struct.pack("<Q", value))
        kind = self.constant(f"request.{command}")
        self.memory.write(base + _COMMAND, struct.pack("<I", kind))
        self.memory.write(base + _ASKED, struct.pack("<I", number))
        end_s = time.monotonic() + timeout_s
        while self.memory.integer(base + _SERVED, 4) != number:
            if time.monotonic() > end_s:
                raise NotServed(
                    f"process {self.pid} has been asked; none of its threads has allocated, freed "
                    f"or begun to wait within {timeout_s:g} s"
                )
            time.sleep(_POLL_S)
        return self.memory.integer(base + _RESULT, 8)

    def _find_head(self) -> int:
        for image in self.memory.images():
            try:
                note = _note_address(self.memory, image)
                if note is not None:
                    distance = struct.unpack("<q", self.memory.read(note, 8))[0]
                    return note + int(distance)
            except NoSuchProcess:
                continue  # No header there, or the image has just gone.
        if not (_PROC / str(self.pid)).exists():
            raise NoSuchProcess(f"there is no process {self.pid}")
        raise NotMesh(f"process {self.pid} does not run Mesh")

    def _read_fields(self, address: int, count: int) -> dict[str, Field]:
        raw = self.memory.read(address, count * _FIELD.size)
        return {
            name.rstrip(b"\0").decode(): Field(offset, size)
            for name, size, offset in _FIELD.iter_unpack(raw)
        }
