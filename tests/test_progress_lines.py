"""Progress of a command whose standard error is not a terminal: a line now and then."""

import time

import pytest

from bnnkit.cli import console


def test_a_line_says_how_much_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: seconds)
    with console.progress("calibrating", 5_000, seconds_a_line=60) as advance:
        for minute in range(5):
            seconds = 30.0 * minute
            advance(1_000)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "calibrating: 3,000 of 5,000",
        "calibrating: 5,000 of 5,000",
    ]
