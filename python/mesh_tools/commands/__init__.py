"""The commands of `mesh`, a module each: add_arguments() and run(); see cli.py."""
