"""The command line, `bnnkit COMMAND`. A command's module is imported only when it is used."""

from typing import NoReturn

from bnnkit.cli.interrupts import leave_on_interrupt

__all__ = ["main"]


def main() -> NoReturn:
    """Run the program; its entry point."""
    leave_on_interrupt()  # before the slow imports
    from bnnkit.cli.group import run_program

    run_program()
