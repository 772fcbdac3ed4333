"""Writes mesh(1), the manual page, to stdout: from the parsers of the commands themselves.

A build tool; not part of the package.
"""

import argparse

from python.mesh_tools import __version__, cli


def _roff(text: str) -> str:
    """Returns text that roff prints as it is."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in plain.split("\n"))


def _command(name: str, sentence: str) -> list[str]:
    command = cli.load(name)
    parser = cli.make_parser(name, command)
    usage = " ".join(parser.format_usage().split()).removeprefix("usage: ")
    lines = [f".SS {_roff(f'mesh {name}')}", ".nf", _roff(usage), ".fi", ".PP"]
    first, _, rest = (command.__doc__ or sentence).strip().partition("\n\n")
    lines += [_roff(" ".join(first.split()))]
    for paragraph in rest.split("\n\n") if rest else []:
        # A paragraph that is set in is shown as it stands.
        as_is = paragraph.startswith("    ")
        lines += [".PP", ".nf", _roff(paragraph), ".fi"] if as_is else [".PP", _roff(paragraph)]
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction) and action.help:
            term = ", ".join(action.option_strings) or str(action.metavar or action.dest)
            value = f" {action.metavar}" if action.option_strings and action.metavar else ""
            lines += [".TP", f".B {_roff(term + value)}", _roff(action.help.replace("%%", "%"))]
    return lines


def main() -> None:
    """Writes the page."""
    lines = [
        f'.TH MESH 1 "" "Mesh {__version__}" "Mesh"',
        ".SH NAME",
        "mesh \\- run, watch, measure and steer programs on the Mesh allocator",
        ".SH SYNOPSIS",
        ".B mesh",
        "COMMAND ...",
        ".SH DESCRIPTION",
        "Mesh takes the place of malloc in a program and gives memory back by meshing; see",
        ".BR libmesh (7).",
        "This command starts programs on it, and looks at those that run.",
        "It reads them from outside, without stopping them: only a program's user and root may.",
        ".SH COMMANDS",
    ]
    for name, sentence in cli.COMMANDS.items():
        lines += _command(name, sentence)
    lines += [
        ".SH EXIT STATUS",
        "0; 1: what was asked for failed; 2: bad input, with one line that says what is wrong.",
        "Of mesh run: the program's.",
        ".SH ENVIRONMENT",
        ".TP",
        ".B MESH_LIBRARY",
        "The libmesh.so to use; by default the installed one.",
        ".SH SEE ALSO",
        ".BR libmesh (7)",
    ]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
