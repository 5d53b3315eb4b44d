"""The page of the commands, from click itself."""

import inspect
from collections.abc import Iterator

import click

from bnnkit.cli.group import COMMANDS, bnnkit_command

HEAD = """# Commands

`bnnkit COMMAND --help` prints what this page says; it is made from the commands themselves.

`--json` prints the result of a command as JSON, where a program may read it. \
[Errors](errors.md) has the exit codes.

A MODEL is a file, `.onnx` or `.tflite`, or `zoo:NAME` ([zoo](../zoo.md)); a CKPT is the folder \
of a run, or the checkpoint in it.
"""


def commands_page() -> str:
    """Return the page in Markdown."""
    return "\n".join([HEAD, *(text for name in COMMANDS for text in _command(name))])


def _command(name: str) -> Iterator[str]:
    group = click.Context(bnnkit_command, info_name="bnnkit")
    command = bnnkit_command.get_command(group, name)
    assert command is not None
    context = click.Context(command, info_name=name, parent=group)
    yield f"## {name}\n"
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\nbnnkit {name} {usage}\n```\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    yield "| Option | What it does |\n| --- | --- |"
    for parameter in command.get_params(context):
        if not isinstance(parameter, click.Option):
            continue
        record = parameter.get_help_record(context)
        if record is not None:
            names, text = record
            yield f"| `{_cell(names)}` | {_cell(text)} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
