"""Sources and pages use the field's plain terms, not words that were retired."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("bnnkit", "export", "runtime", "benchmarks", "experiments", "docs", "examples", "tests")
PLAIN_WORDS = {
    "moods": "machine noise",
    "whole road": "the steps by name: train, export, verify, run",
    "anew": "again, re-estimated, or the current value",
    "likelier": "more probable",
    "what came of": "result",
    "contestants?": "engine",
    "rivals?": "baseline or alternative",
}


def _texts() -> list[Path]:
    """All sources and pages; the change log names old modules, and this file the words."""
    files = [
        f for folder in FOLDERS for f in (ROOT / folder).rglob("*") if f.suffix in {".py", ".md"}
    ]
    files += ROOT.glob("*.md")
    ours = [f for f in files if "node_modules" not in f.parts]
    return [f for f in ours if f.name != "CHANGELOG.md" and f != Path(__file__)]


@pytest.mark.parametrize("word", PLAIN_WORDS)
def test_retired_words_do_not_return(word: str) -> None:
    pattern = re.compile(rf"(?<![^\W_]){word}(?![^\W_])", re.IGNORECASE)
    found = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in _texts()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"write {PLAIN_WORDS[word]!r} for {word!r} in {', '.join(found)}"
