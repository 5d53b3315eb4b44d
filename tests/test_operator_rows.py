"""The rows of operators in docs/artifact.md are those of the operators that exist."""

import re
from pathlib import Path

from bnnkit.artifact.operators import OPERATORS

PAGE = (Path(__file__).parent.parent / "docs" / "artifact.md").read_text(encoding="utf-8")
CONVOLUTION = {"strides", "pads", "dilations", "group"}
"""What the page calls "conv"."""


def _rows() -> dict[str, list[str]]:
    """The cells of each row, by the operator's name."""
    section = PAGE.partition("## Operators of the domain `bnnkit`")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [re.split(r"\s*\|\s*", line.strip("|").strip()) for line in table]
    return {row[0].strip("`"): row for row in cells}


def test_each_operator_has_a_row() -> None:
    assert set(_rows()) == set(OPERATORS)


def test_each_row_has_the_attributes() -> None:
    above: set[str] = set()
    for name, row in _rows().items():
        words = row[2]
        found = set(re.findall(r"`(\w+)`", words))
        found |= CONVOLUTION if re.search(r"\bconv\b", words) else set()
        found |= above if words.startswith("as above") else set()
        assert found == set(OPERATORS[name].attributes), name
        above = found


def test_each_row_has_the_inputs() -> None:
    """The page counts them, as their names are those of the bodies."""
    for name, row in _rows().items():
        assert row[1], name
        outside_brackets = re.sub(r"\([^)]*\)", "", row[1])
        parts = re.split(r", | and ", outside_brackets)
        n_named = sum(
            bool(part.strip()) and not part.strip().startswith("uint32") for part in parts
        )
        assert n_named == len(OPERATORS[name].inputs), (name, parts)
