"""git: thousands of small objects, delta compression in threads, and many short processes."""

import pathlib
import random

from . import harness

FILES = 400
COMMITS = 12

# Fixed, so that every commit has the same name in every run.
IDENTITY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "C",
    "GIT_COMMITTER_EMAIL": "c@example.org",
    "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_PAGER": "cat",
}


def _write_tree(sandbox: harness.Sandbox, generator: random.Random, share: float) -> None:
    """Writes a random `share` of the repository's files anew."""
    for number in range(FILES):
        if generator.random() > share:
            continue
        lines = (f"{generator.randrange(10**6)} word {number}" for _ in range(60))
        sandbox.write(f"repo/d{number % 20}/f{number}.txt", "\n".join(lines) + "\n")


def _scenario(sandbox: harness.Sandbox) -> None:
    git = harness.program("git")

    def run(*arguments: str, observed: bool = True, directory: str = "repo") -> None:
        sandbox.run(git, "-C", directory, *arguments, extra=IDENTITY, observed=observed)

    generator = random.Random(1)
    sandbox.run(git, "init", "-q", "-b", "main", "repo", extra=IDENTITY)
    for number in range(COMMITS):
        _write_tree(sandbox, generator, 1.0 if number == 0 else 0.2)
        run("add", "-A")
        run("commit", "-q", "-m", f"commit {number}")
    run("log", "--stat", "--format=%H %s")
    run("diff", "-M", "HEAD~5", "HEAD")
    run("blame", "d0/f0.txt")
    run("checkout", "-q", "-b", "side", "HEAD~4")
    sandbox.write("repo/side.txt", "side\n")
    run("add", "-A")
    run("commit", "-q", "-m", "side")
    run("merge", "-q", "--no-edit", "main")
    run("gc", "-q", "--prune=now")
    # A pack's bytes depend on how the threads share the work: what it holds is compared.
    run("fsck", "--full", "--strict", observed=False)
    run("rev-list", "--objects", "--all")
    run("clone", "-q", "--no-local", ".", "../clone")
    run("ls-tree", "-r", "-l", "HEAD", directory="clone")
    run("grep", "-c", "99", directory="clone")


def test_git(root: pathlib.Path, repeats: int) -> None:
    """init, commits, log, diff, blame, merge, gc, fsck and clone."""
    harness.expect_same(_scenario, root, repeats)
