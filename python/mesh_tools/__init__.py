"""Tools around the Mesh allocator: the `mesh` command, measurements, theory."""

__version__ = "1.0.0"
