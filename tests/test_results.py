"""Every stored result stands on the page of results, with the command that makes it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bnnkit.cli.group import COMMANDS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results" / "overview.md"
LINES = PAGE.read_text(encoding="utf-8").splitlines()
ROWS = [line for line in LINES if line.count("|") == 5 and "`" in line]


def stored() -> Iterator[Path]:
    for folder in ("docs/results", "benchmarks/results"):
        for path in sorted((ROOT / folder).iterdir()):
            if path.suffix in (".json", ".png"):
                yield path


@pytest.mark.parametrize("path", list(stored()), ids=lambda path: path.name)
def test_a_stored_file_has_the_command_that_makes_it(path: Path) -> None:
    rows = [row for row in ROWS if f"/{path.name})" in row or f"({path.name})" in row]
    assert rows, f"{path.name} is missing in {PAGE.name}"
    assert all(re.search(r"`(python|bnnkit) ", row.split("|")[3]) for row in rows)


def test_commands_name_files_and_commands_that_exist() -> None:
    commands = [command for row in ROWS for command in re.findall(r"`([^`]+)`", row.split("|")[3])]
    assert len(commands) > 20
    for command in commands:
        first, *words = command.split()
        assert first in ("python", "bnnkit") or first.startswith("--"), command
        if first == "bnnkit":
            assert words[0] in COMMANDS
        for word in words:
            if re.fullmatch(r"(benchmarks|experiments|examples|docs)/\S+\.(py|yaml)", word):
                assert (ROOT / word).is_file(), word
