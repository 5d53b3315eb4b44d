"""The command line: `bnnkit COMMAND`. Light: a command's module is imported when it is used."""

from bnnkit.cli.group import LazyGroup, main

__all__ = ["LazyGroup", "main"]
