"""Programs in which the n-th system call from a call site of the library is refused.

test/programs/refuse_call.c runs them under a seccomp filter that asks for each call; the address it
comes from tells the library's calls from the program's.

Environment: MESH_PROGRAMS, the paths of the programs, separated by blanks.
"""

import abc
import dataclasses
import pathlib

from . import harness, tiers

BARRIERS = ("auto", "userfault_user", "segv")

ONCE = 1
FOR_EVER = 1 << 40
# How refuse_call.c says that no filter of this process can ask.
NO_LISTENER = 125
LEAST_SITES = 30


@dataclasses.dataclass(frozen=True)
class Site:
    """A system call instruction of the library; calls: as often as the program got there."""

    address: str
    number: int
    calls: int
    refused: int


NOTHING = Site("0", 0, 0, 0)


class Player(abc.ABC):
    """Plays one program, as often as asked; a subclass says how, and what it may end in."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self._report = root.with_name("report")

    @abc.abstractmethod
    def play(self, site: Site, first: int, count: int) -> str:
        """Has `count` calls of one site refused from the `first` on.

        Returns: "" when nothing is wrong with what the program did, else what.
        """

    def refusing(self, site: Site, first: int, count: int) -> tuple[str | pathlib.Path, ...]:
        """The words in front of a program's own."""
        library = harness.library()
        return (
            *(tiers.path("refuse_call"), library, self._report),
            *(site.address, str(first), str(count)),
        )

    def sites(self) -> list[Site]:
        """What the last run counted."""
        lines = (line.split() for line in self._report.read_text().splitlines())
        return [Site(address, *map(int, counts)) for address, *counts in lines]


def need_listener(status: int) -> None:
    """Skips the test where the program ended for lack of a filter."""
    if status == NO_LISTENER:
        harness.missing("no seccomp filter can ask here: an old kernel, or another that does")


def play_all(player: Player, numbers: dict[Site, list[int]]) -> str:
    """For each site: the calls of these numbers refused, each once, and all of them.

    Returns: what was done, in a line. Raises: AssertionError: a program did not survive it.
    """
    assert len(numbers) >= LEAST_SITES
    runs = refused = 0
    for site, firsts in numbers.items():
        for first, count in (*((first, ONCE) for first in firsts), (1, FOR_EVER)):
            wrong = player.play(site, first, count)
            assert not wrong, f"site {site}, from call {first} on, {count} calls: {wrong}"
            runs += 1
            refused += min(1, sum(other.refused for other in player.sites()))
    # A run may make fewer calls than the one that counted them.
    assert refused > runs // 2
    return f"{len(numbers)} call sites, {runs} runs, {refused} with refusals"
