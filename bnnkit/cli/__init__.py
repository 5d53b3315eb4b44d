"""The command line, `bnnkit COMMAND`. A command's module is imported only when it is used."""

from bnnkit.cli.group import LazyGroup, main

__all__ = ["LazyGroup", "main"]
