"""The source archive holds what README and docs link to."""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEFT_OUT = {".git", ".ci", "build", "tests", "bnnkit.egg-info", "node_modules"}


@pytest.mark.slow
def test_links_of_the_pages_are_in_the_archive(tmp_path: Path) -> None:
    tree = tmp_path / "tree"  # setuptools writes beside the sources
    shutil.copytree(
        ROOT,
        tree,
        symlinks=True,
        ignore=lambda _, names: {*LEFT_OUT.intersection(names), *_hidden(names)},
    )
    package = tree / "examples" / "browser" / "node_modules" / "package"
    package.mkdir(parents=True)
    (package / "index.js").write_text("")
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, capture_output=True)
    (archive,) = tmp_path.glob("bnnkit-*.tar.gz")
    with tarfile.open(archive) as opened:
        found = {name.partition("/")[2] for name in opened.getnames()}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert {page.relative_to(ROOT).as_posix() for page in pages} <= found
    for page in pages:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            name = (page.parent / target).resolve().relative_to(ROOT).as_posix()
            assert name in found, f"{page.name} links to {name}"
    assert {"examples/own_model.py", "examples/browser/index.html"} <= found
    assert not [name for name in found if "node_modules" in name]
    assert "runtime/kernels/tile.py" in found


def _hidden(names: list[str]) -> set[str]:
    return {name for name in names if name.startswith(".") or name == "__pycache__"}
