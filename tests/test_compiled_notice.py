"""The line that a command shows while kernels are compiled."""

import re
import time

import pytest
from numba import types

from bnnkit.cli.console import progress, waiting
from bnnkit.runtime.kernels import compiled


def _first(at: int, thread: int, threads: int) -> None:
    """A kernel."""


def _second(at: int, thread: int, threads: int) -> None:
    """Another one."""


@pytest.mark.parametrize("show", [lambda: progress("running", 9), lambda: waiting("running")])
def test_compilations_are_shown_in_a_terminal(
    show: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the stream for a terminal
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(compiled, "compile_kernel", _compiled_slowly)
    monkeypatch.setattr(compiled, "load", lambda code: 0)
    monkeypatch.setattr(compiled, "_usable_folder", lambda: None)
    signature = types.void(*[types.int64] * 3)
    with show():  # type: ignore[operator]
        compiled.compile_all({_first: signature, _second: signature})
    for kernel in (_first, _second):
        del compiled._addresses[kernel]
    shown = capsys.readouterr().err
    seen = re.findall(r"compiling kernels once, (. of .)|running", shown)
    assert [text for text in dict.fromkeys(seen) if text] == ["1 of 2", "2 of 2"]
    assert seen[-1] == ""  # the label is back


def _compiled_slowly(kernel: object, signature: object) -> None:
    time.sleep(0.3)  # the line is drawn ten times a second
