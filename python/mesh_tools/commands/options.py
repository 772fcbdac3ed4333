"""Lists the options of the library: environment variables, or --set of mesh run."""

import argparse

from rich.markup import escape
from rich.table import Table

from .. import command_line, options_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares none."""


def run(arguments: argparse.Namespace) -> int:
    """Prints the table."""
    del arguments
    table = Table(box=None, pad_edge=False)
    for name in ("variable", "default", "takes", ""):
        table.add_column(name, overflow="fold")
    for option in options_table.OPTIONS:
        cells = (option.variable, option.default, option.takes, option.sentence)
        table.add_row(*map(escape, cells))
    command_line.make_console().print(table)
    return 0
