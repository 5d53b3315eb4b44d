"""Refusals of the TFLite export say what was expected and what came."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "export" / "tflite"
WITHOUT = {
    "engines do not agree on the size",
    "engines do not agree on the pixels",
    "the pads",
    "TFLite export lacks",
    "this one has",
    "does not broadcast to",
    "expected the batch to stay the first axis",
    "expected an artifact without sampled weights",
}
"""Refusals that name what came in other words."""


def _messages(path: Path) -> Iterator[tuple[int, str]]:
    """Each text that is raised as an UnsupportedError, without the values in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
            continue
        if getattr(node.exc.func, "id", "") != "UnsupportedError":
            continue
        parts = [p.value for p in ast.walk(node.exc) if isinstance(p, ast.Constant)]
        text = " ".join(part for part in parts if isinstance(part, str))
        if text.strip(": ()"):
            yield node.lineno, text


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_refusal_says_what_came(path: Path) -> None:
    for line, text in _messages(path):
        assert " got" in text or any(words in text for words in WITHOUT), (
            f"{path.name}:{line}: {text}"
        )
