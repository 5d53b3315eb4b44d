"""The command line in this process: what it prints, and what it says where it fails."""

from pathlib import Path

from click.testing import CliRunner, Result

from bnnkit.cli.group import COMMANDS, bnnkit_command


def run(*arguments: object) -> Result:
    """The result of a command, whatever it is."""
    return CliRunner().invoke(bnnkit_command, [str(argument) for argument in arguments])


def succeed(*arguments: object) -> str:
    """What a command prints that succeeds without a message."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def fail(*arguments: object) -> str:
    """The one line of a command that fails, without the command's name."""
    given = [str(argument) for argument in arguments]
    result = CliRunner().invoke(bnnkit_command, given)
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    return error_line(result.stderr, given[0] if given[0] in COMMANDS else "")


def error_line(errors: str, command: str) -> str:
    place = f"bnnkit {command}".strip() + ": "
    assert errors.startswith(place)
    assert errors.endswith("\n")
    assert errors.count("\n") == 1
    return errors.removeprefix(place).rstrip("\n")


def is_empty(folder: Path) -> bool:
    return not list(folder.iterdir())
