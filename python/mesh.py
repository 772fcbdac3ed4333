"""The `mesh` command, run from the tree with the library that is built there.

tools/bazel run //python:mesh -- COMMAND ...
"""

from python.mesh_tools import cli

if __name__ == "__main__":
    cli.main()
