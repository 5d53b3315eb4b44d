"""CITATION.cff names the version and the licence of the package."""

from pathlib import Path

import pytest

import bnnkit

yaml = pytest.importorskip("yaml")


def test_the_citation_is_of_this_version() -> None:
    path = Path(__file__).parents[1] / "CITATION.cff"
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert str(found["version"]) == bnnkit.__version__
    assert found["license"] == "Apache-2.0"
