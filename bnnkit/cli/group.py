"""`bnnkit` itself: which commands there are, and how each of them ends.

| exit code | meaning                                                                  |
| --------- | ------------------------------------------------------------------------ |
| 0         | done                                                                     |
| 1         | the check failed (verify)                                                |
| 2         | wrong use or bad input; one line on standard error says what is expected |
| 130, 143  | interrupted, terminated; files are as they were before                   |
| 141       | the reader of standard output has left                                   |

Whatever else is raised is a mistake of bnnkit's own and shows its traceback.
"""

import contextlib
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import bnnkit
from bnnkit.errors import BnnkitError, MissingExtraError

COMMANDS = {
    "quickstart": "The whole road on bundled digits: train, export, verify, run, eval, bench.",
    "train": "Train a network from a configuration, or continue a run that was stopped.",
    "eval": "Accuracy and calibration of a checkpoint or a model.",
    "export": "Write a trained network as a bit-packed model file.",
    "convert": "Turn a binarized ONNX network of others into a bit-packed model file.",
    "run": "Run a model on the inputs of a .npy file.",
    "verify": "Check that every engine computes what was trained, bit for bit.",
    "bench": "Measure the latency of a model in several engines.",
    "info": "What a model or checkpoint consists of, and what stayed float.",
    "warmup": "Compile the kernels of this CPU ahead of time.",
}
"""Every command, each in the module of its name, and its line in the list."""

_EXTRAS = {
    "torch": "train",
    "lightning_fabric": "train",
    "lightning": "train",
    "filelock": "train",
    "safetensors": "train",
    "pydantic": "train",
    "yaml": "train",
    "sklearn": "train",
    "torchmetrics": "train",
    "onnx_ir": "export",
    "onnxscript": "export",
    "onnxruntime": "ort",
    "matplotlib": "plot",
}
"""Packages that need not be installed, and the extra that brings each."""

_PRINTERS = ("click.utils", "rich.console", __name__)
"""Modules that write to standard output."""

CHECK_FAILED = 1
WRONG_USE = 2
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
PIPE_CLOSED = 128 + 13  # SIGPIPE, which not every system has


class Terminated(SystemExit):
    """The signal SIGTERM, which unwinds so that half-written files are removed."""


class LazyGroup(click.Group):
    """The group of `COMMANDS`; ends as the table above says."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of a project."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"bnnkit.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run a command and leave with its exit code."""
        arguments = (sys.argv[1:] if args is None else list(args)) or ["--help"]
        place, code = _place(arguments), 0
        try:
            with self.make_context(prog_name or "bnnkit", list(arguments), **extra) as context:
                self.invoke(context)
        except click.exceptions.Exit as leaving:
            code = leaving.exit_code
        except click.ClickException as error:
            context = getattr(error, "ctx", None) or click.Context(self, info_name=place)
            code = _say(context.command_path, error.format_message(), WRONG_USE)
        except (KeyboardInterrupt, click.Abort):
            code = _say(place, "interrupted", INTERRUPTED)
        except Terminated:
            code = _say(place, "terminated", TERMINATED)
        except BrokenPipeError:
            _discard_output()
            code = PIPE_CLOSED
        except (BnnkitError, OSError, MemoryError, ModuleNotFoundError) as error:
            code = _say(place, _explained(error), WRONG_USE)
            if _is_of_output(error):
                _discard_output()
        sys.exit(_flushed(place, code))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(bnnkit.__version__, message="bnnkit %(version)s")
def bnnkit_command() -> None:
    """Train binarized neural networks, export them bit-packed, run them at the speed of popcount.

    Start with `bnnkit quickstart`; `bnnkit COMMAND --help` explains each command.
    """


def main() -> NoReturn:
    """The entry point of the program."""
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by whoever started us
            setattr(sys, stream, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    bnnkit_command.main()


def _terminate(number: int, frame: object) -> NoReturn:
    """Unwind, undisturbed by a second signal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated(TERMINATED)


def _place(arguments: Sequence[str]) -> str:
    """The command in the words of the user."""
    return f"bnnkit {arguments[0]}" if arguments and arguments[0] in COMMANDS else "bnnkit"


def _explained(error: BaseException) -> str:
    """What a user can do about an error; a mistake of ours is raised again."""
    if isinstance(error, ModuleNotFoundError):
        if error.name not in _EXTRAS:
            raise error
        return str(MissingExtraError(f"what uses {error.name}", _EXTRAS[error.name]))
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        if _is_of_output(error):
            return f"cannot write standard output: {reason}"
        return f"{error.filename}: {reason}" if error.filename else reason
    return str(error)


def _is_of_output(error: BaseException) -> bool:
    """Whether it was raised where something is printed: the system does not name the stream."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, OSError) and frames[-1].f_globals["__name__"] in _PRINTERS


def _say(place: str, message: str, code: int) -> int:
    """One line on standard error, whatever the message holds; gives the code."""
    with contextlib.suppress(OSError):  # nobody reads it; the code says it too
        click.echo(f"{place}: {' '.join(message.split())}", err=True)
    return code


def _flushed(place: str, code: int) -> int:
    """The exit code, now that standard output is written, or cannot be."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = PIPE_CLOSED
        _discard_output()
    except OSError as error:
        code = _say(place, _explained(error), WRONG_USE)
        _discard_output()
    return code


def _discard_output() -> None:
    """Python must not complain when it flushes standard output at exit."""
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
