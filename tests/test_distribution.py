"""The wheel and the sdist hold every module, and the wheel works away from the checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from test_packaging import PACKAGES, ROOT, folder_of

from bnnkit.zoo.catalogue import FOLDER

pytestmark = pytest.mark.slow

BUILD = """
import sys
from setuptools import build_meta
getattr(build_meta, "build_" + sys.argv[1])(sys.argv[2])
"""
IMPORT = """
import importlib, pathlib, sys
for name in sys.argv[2:]:
    module = importlib.import_module(name)
    assert pathlib.Path(module.__file__).is_relative_to(sys.argv[1]), module.__file__
"""
RUN_WHEN_IMPORTED = {"bnnkit.__main__", "bnnkit.engines.lce_child"}


def sources() -> dict[str, Path]:
    """The files of the checkout that must be in the wheel, by their names in it."""
    found = {"bnnkit/py.typed": ROOT / "bnnkit" / "py.typed"}
    for package in PACKAGES:
        for path in (ROOT / folder_of(package)).glob("*.py"):
            found[f"{package.replace('.', '/')}/{path.name}"] = path
    models = [FOLDER / "zoo.json", *FOLDER.glob("*.onnx")]
    found |= {f"bnnkit/zoo/{path.name}": path for path in models}
    c_code = ROOT / "runtime" / "c_code"
    texts = [*c_code.glob("sources/*.h"), *c_code.glob("templates/*.in")]
    return found | {f"bnnkit/{path.relative_to(ROOT).as_posix()}": path for path in texts}


def build(kind: str, source: Path, out: Path) -> Path:
    """Run the build backend in a folder, which it writes to."""
    out.mkdir()
    command = [sys.executable, "-c", BUILD, kind, str(out)]
    run = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked sdist of a copy of the checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    copy = folder / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("bnnkit", "export", "runtime"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignored)
    with tarfile.open(build("sdist", copy, folder / "dist")) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, built from the sdist."""
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(build("wheel", sdist, folder / "dist")) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_git_ignores_no_source() -> None:
    paths = [str(path.relative_to(ROOT)) for path in sources().values()]
    command = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--", *paths]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert not run.stdout, "git ignores these, so that a clone lacks them"


def test_the_sdist_holds_the_sources(sdist: Path) -> None:
    expected = {path.relative_to(ROOT).as_posix() for path in sources().values()}
    tops = (sdist / name for name in ("bnnkit", "export", "runtime"))
    found = {path.relative_to(sdist).as_posix() for top in tops for path in top.rglob("*.*")}
    assert found == expected
    for name in expected:
        assert (sdist / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_wheel_holds_the_sources(wheel: Path) -> None:
    expected = sources()
    found = {path.relative_to(wheel).as_posix() for path in (wheel / "bnnkit").rglob("*.*")}
    assert found == set(expected)
    for name, path in expected.items():
        assert (wheel / name).read_bytes() == path.read_bytes()


def test_every_module_of_the_wheel_can_be_imported(wheel: Path, tmp_path: Path) -> None:
    files = [path.relative_to(wheel).with_suffix("") for path in wheel.rglob("*.py")]
    modules = {".".join(file.parts).removesuffix(".__init__") for file in files}
    run = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT, wheel, *sorted(modules - RUN_WHEN_IMPORTED)],
        env={**os.environ, "PYTHONPATH": str(wheel)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
