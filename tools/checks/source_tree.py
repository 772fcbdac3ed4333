"""The tracked files of a work tree, as the checkers see them."""

import dataclasses
import pathlib
import subprocess

CPP_SUFFIXES = (".h", ".cc", ".c")


@dataclasses.dataclass(frozen=True)
class SourceTree:
    """A root directory and the paths, relative to it, that are to be checked."""

    root: pathlib.Path
    paths: tuple[str, ...]

    @classmethod
    def of_git(cls, root: pathlib.Path) -> "SourceTree":
        """All files that git tracks or would add; deleted ones are left out."""
        listing = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        paths = sorted({p for p in listing.split("\0") if p and (root / p).is_file()})
        return cls(root, tuple(paths))

    @classmethod
    def of_directory(cls, root: pathlib.Path) -> "SourceTree":
        """Every file below `root`, for trees that git does not know."""
        files = (p for p in root.rglob("*") if p.is_file())
        return cls(root, tuple(sorted(str(p.relative_to(root)) for p in files)))

    def select(self, *, under: tuple[str, ...] = ("",), suffixes: tuple[str, ...]) -> list[str]:
        """Paths below one of the directories `under` ("src/") with one of the suffixes."""
        return [p for p in self.paths if p.startswith(under) and p.endswith(suffixes)]

    def text(self, path: str) -> str:
        """The content of a file; bytes that are not UTF-8 become replacement characters."""
        return (self.root / path).read_text(encoding="utf-8", errors="replace")
