"""The program `bnnkit`: its commands and their exit codes.

| exit code | meaning                                                                  |
| --------- | ------------------------------------------------------------------------ |
| 0         | done                                                                     |
| 1         | the check failed (verify)                                                |
| 2         | wrong use or bad input; one line on standard error says what is expected |
| 130, 143  | interrupted, terminated; output files are unchanged                      |
| 141       | the reader of standard output has closed the pipe                        |

An exception that nobody expected ends in one line and exit code 2 as well: it comes from a damaged
file, or from a bug in bnnkit. With BNNKIT_DEBUG=1 every error shows its traceback first.
"""

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import bnnkit
from bnnkit.border import explained, is_debugging
from bnnkit.cli.console import show_warnings_in_a_line
from bnnkit.cli.interrupts import (
    INTERRUPTED,
    TERMINATED,
    Terminated,
    ignore_interrupts,
    raise_on_interrupt,
    raise_on_termination,
    wait_for_termination,
    was_interrupted,
)
from bnnkit.errors import BnnkitError, MissingExtraError, OtherProcessError, printable

COMMANDS = {
    "quickstart": "Try everything end to end on bundled digits, from train to bench.",
    "train": "Train a network from a configuration, or continue a run that was stopped.",
    "sweep": "Train a network with several seeds or settings; show mean and standard deviation.",
    "recipe": "Write the configurations that make a binary network of your own float network.",
    "eval": "Measure accuracy and calibration, or errors, of a checkpoint or a model.",
    "export": "Write a trained network as a bit-packed model file.",
    "convert": "Convert a binarized ONNX network of another tool to a bit-packed model file.",
    "run": "Run a model on images or on arrays.",
    "verify": "Check that every engine computes what was trained, bit for bit.",
    "bench": "Measure the latency of a model in several engines.",
    "info": "Show the layers of a model or checkpoint, and which stayed float.",
    "zoo": "List the trained networks that come with the package.",
    "warmup": "Compile the kernels of this CPU ahead of time.",
}
"""The commands, each in the module of its name, with their lines in the list of commands."""

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
    "PIL": "images",
    "torchvision": "augment",
}
"""Optional packages, and the extra that installs each."""

_PRINTERS = ("click.utils", "rich.console", __name__)
"""Modules that write to standard output."""

CHECK_FAILED = 1
WRONG_USE = 2
_TIME_TO_REPORT_S = 5.0
PIPE_CLOSED = 128 + 13  # SIGPIPE, which not every system has


class LazyGroup(click.Group):
    """The group of `COMMANDS`; exits with the codes in the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which a project uses them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"bnnkit.cli.{cmd_name}")
        raise_on_interrupt()  # from now on there may be files to remove
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run a command and exit with its code."""
        arguments = (sys.argv[1:] if args is None else list(args)) or ["--help"]
        command_name, code = _command_name(arguments), 0
        try:
            with self.make_context(prog_name or "bnnkit", list(arguments), **extra) as context:
                self.invoke(context)
        except click.exceptions.Exit as leaving:
            code = leaving.exit_code
        except click.ClickException as error:
            context = getattr(error, "ctx", None) or click.Context(self, info_name=command_name)
            code = _report(error, context.command_path, error.format_message())
        except (KeyboardInterrupt, click.Abort):
            code = _print_error(command_name, "interrupted", INTERRUPTED)
        except Terminated:
            code = _print_error(command_name, "terminated", TERMINATED)
        except BrokenPipeError:
            _discard_output()
            code = PIPE_CLOSED
        except Exception as error:
            if is_debugging():
                traceback.print_exc()
            if was_interrupted():
                code = _print_error(command_name, "interrupted", INTERRUPTED)
            else:
                code = _report(error, command_name, _explained(error))
            if _is_output_error(error):
                _discard_output()
        sys.exit(_flushed(command_name, code))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(bnnkit.__version__, message="bnnkit %(version)s")
def bnnkit_command() -> None:
    """Train binarized neural networks, export them bit-packed, run them at the speed of popcount.

    Start with `bnnkit quickstart`; `bnnkit COMMAND --help` explains each command.
    """


def run_program() -> NoReturn:
    """Run the program on the arguments of the process."""
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by the parent process
            setattr(sys, stream, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        # A terminal whose encoding lacks a character of a name.
        getattr(sys, stream).reconfigure(errors="backslashreplace")
    raise_on_termination()
    show_warnings_in_a_line()
    try:
        bnnkit_command.main()
    except KeyboardInterrupt:  # a second one, while the first was handled
        sys.exit(INTERRUPTED)
    finally:
        ignore_interrupts()


def _command_name(arguments: Sequence[str]) -> str:
    """Return the command for error messages, such as "bnnkit train"."""
    return f"bnnkit {arguments[0]}" if arguments and arguments[0] in COMMANDS else "bnnkit"


def _explained(error: Exception) -> str:
    """Return a message for the user."""
    if isinstance(error, BnnkitError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        return str(MissingExtraError(f"what uses {error.name}", _EXTRAS[error.name]))
    if _is_output_error(error):
        return f"cannot write standard output: {explained(error)}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {explained(error)}"
    return explained(error)


def _is_output_error(error: Exception) -> bool:
    """Return whether printing raised the error; such errors do not name the stream."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, OSError) and frames[-1].f_globals["__name__"] in _PRINTERS


def _report(error: Exception, command_name: str, message: str) -> int:
    """Print an error, unless another process of a training does; return the code."""
    is_expected = isinstance(error, BnnkitError | click.ClickException)
    if isinstance(error, OtherProcessError) or (is_expected and _has_the_first_process_the_same()):
        # torchrun ends all processes as soon as one ends, which should be the one that reports.
        wait_for_termination(_TIME_TO_REPORT_S)
        return WRONG_USE
    return _print_error(command_name, message, WRONG_USE)


def _has_the_first_process_the_same() -> bool:
    """Return whether torchrun has started another process here that fails in the same way.

    All processes of a machine do the same until they are connected.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("LOCAL_RANK", "0") == "0":
        return False
    distributed = sys.modules.get("torch.distributed")
    return distributed is None or not distributed.is_initialized()


def _print_error(command_name: str, message: str, code: int) -> int:
    """Print a message as one line on standard error; return the code."""
    with contextlib.suppress(OSError):  # standard error is closed; the exit code still tells
        click.echo(f"{command_name}: {printable(' '.join(message.split()))}", err=True)
    return code


def _flushed(command_name: str, code: int) -> int:
    """Flush standard output; return the exit code, changed if that fails."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = PIPE_CLOSED
        _discard_output()
    except OSError as error:
        code = _print_error(command_name, _explained(error), WRONG_USE)
        _discard_output()
    return code


def _discard_output() -> None:
    """Redirect standard output, so that Python's flush at exit cannot fail."""
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
