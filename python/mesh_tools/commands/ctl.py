"""Reads or steers a running program that has Mesh in it.

    mesh ctl PID mesh.compact              mesh all that can be meshed, give free pages back
    mesh ctl PID mesh.scavenge             give free pages back
    mesh ctl PID mesh.check_period [MS]    least time between two passes; 0 turns them off
    mesh ctl PID stats.NAME                one figure, as mesh stat --json names it

Only the program's user and root may. What changes something is done by a thread of the program
that comes to allocate or free, or begins to wait in a call, or by Mesh's background thread while
that is at work; a program that does none of this does it when it does.
"""

import argparse

from .. import command_line, snapshot, window

_COMMANDS = {"mesh.compact": "compact", "mesh.scavenge": "scavenge"}
_PERIOD = "mesh.check_period"
_STATISTICS = "stats."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares them."""
    parser.add_argument("pid", metavar="PID", type=int, help="the process")
    parser.add_argument("key", metavar="KEY", help="what to read or do")
    parser.add_argument("value", metavar="VALUE", nargs="?", help="the new value")
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="how long to wait [s]; default 10"
    )


def run(arguments: argparse.Namespace) -> int:
    """Does it and prints what came of it."""
    key, value = arguments.key, arguments.value
    known = key in _COMMANDS or key == _PERIOD or key.startswith(_STATISTICS)
    if not known:
        raise command_line.UsageError(
            f"there is no key {key}: it takes {', '.join([*_COMMANDS, _PERIOD])} or stats.NAME"
        )
    if value is not None and key != _PERIOD:
        raise command_line.UsageError(f"{key} takes no value")
    is_request = key in _COMMANDS or value is not None
    with window.Window(arguments.pid, writable=is_request) as opened:
        try:
            print(_answer(opened, key, value, arguments.timeout))
        except window.NotServed as error:
            command_line.say("mesh ctl", error)
            return command_line.EXIT_WRONG
    return 0


def _answer(opened: window.Window, key: str, value: str | None, timeout_s: float) -> object:
    if key in _COMMANDS:
        return opened.request(_COMMANDS[key], 0, timeout_s)
    if value is not None:
        period_ms = _period(value, opened.constant("request.max_period_ms"))
        opened.request("period", period_ms, timeout_s)
        return period_ms
    found = snapshot.collect(opened).to_json()
    if key == _PERIOD:
        return found["period_ms"]
    name = key.removeprefix(_STATISTICS)
    if not isinstance(found.get(name), int | str):
        raise command_line.UsageError(f"there is no key {key}: mesh stat --json lists the names")
    return found[name]


def _period(text: str, longest_ms: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > longest_ms:
        raise command_line.UsageError(
            f"{_PERIOD} takes whole milliseconds from 0 to {longest_ms}, not '{text}'"
        )
    return int(text)
