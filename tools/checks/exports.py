"""Checks what libmesh.so exports and what it needs.

    bazel run //tools/checks:exports -- /path/to/libmesh.so

It may need libc and the loader alone: a preloaded library that pulls in libstdc++ changes the
program it is loaded into.
"""

import pathlib
import re
import subprocess
import sys

_NEEDED = {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
# Version names of the C++ and compiler run-time libraries.
_RUNTIME_VERSION = re.compile(r"@(GLIBCXX|CXXABI|GCC)_\S*")
# Of nm(1): absolute, bss, data, read-only and text symbols of the library's own.
_LOCAL_KINDS = set("abdrt")
_EXPORTS_FILE = pathlib.Path(__file__).parent.parent / "exported_names.txt"


def documented_names() -> set[str]:
    lines = (line.strip() for line in _EXPORTS_FILE.read_text().splitlines())
    return {line for line in lines if line and not line.startswith("#")}


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def check_exports(library: pathlib.Path, documented: set[str]) -> list[str]:
    """Exported names against the documented ones, both ways."""
    findings = []
    exported = set()
    for line in _output("nm", "-D", "--defined-only", str(library)).splitlines():
        kind, symbol = line.split()[-2:]
        # Thread-local variables are named there for the loader, though nobody can bind to them.
        if kind in _LOCAL_KINDS:
            continue
        name, _, version = symbol.partition("@")
        if version:
            findings.append(f"{name}@{version}: a versioned name does not interpose {name}")
        exported.add(name)
    surplus = {n for n in exported - documented if not n.startswith("mesh_")}
    findings += [f"{name}: exported, but not documented" for name in sorted(surplus)]
    findings += [f"{name}: documented, but not exported" for name in sorted(documented - exported)]
    return findings


def check_needs(library: pathlib.Path) -> list[str]:
    """Libraries and symbol versions that the loader would have to find."""
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", _output("readelf", "-dW", str(library))))
    findings = [f"NEEDED {name}: only libc is allowed" for name in sorted(needed - _NEEDED)]
    symbols = _output("nm", "-D", "--undefined-only", "--with-symbol-versions", str(library))
    for line in symbols.splitlines():
        name = line.split()[-1]
        if _RUNTIME_VERSION.search(name):
            findings.append(f"{name}: comes from a run-time library of the compiler")
    return findings


def check(library: pathlib.Path) -> list[str]:
    """All of the above."""
    return check_exports(library, documented_names()) + check_needs(library)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    findings = check(pathlib.Path(arguments[0]))
    print("\n".join(findings) or f"{len(documented_names())} documented names, libc only: ok")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
