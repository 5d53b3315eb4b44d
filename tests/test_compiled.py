"""Machine code on disk: kept, checked, never trusted blindly."""

import compileall
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bnnkit

PROGRAM = """
import numpy as np
from artifacts import ArtifactBuilder
from bnnkit.runtime import Model
from numba.core import event

class Counter(event.Listener):
    count = 0
    def on_start(self, event): Counter.count += 1
    def on_end(self, event): pass

event.register("numba:compile", Counter())
a = ArtifactBuilder(1)
x = a.rng.standard_normal((3, 70)).astype(np.float32)
signs = a.threshold(a.binary_linear(a.sign("x"), 70, 33), range(33))
result = Model(a.artifact((70,), signs)).run(x)
print(Counter.count, result.sum(), result.tobytes().hex()[:80])
"""
TESTS = Path(__file__).parent


def run_in(folder: Path, **variables: str) -> tuple[int, str]:
    """Functions that were compiled, and the network's result, in a process with this cache."""
    environment = {**os.environ, "BNNKIT_CACHE_DIR": str(folder), "PYTHONPATH": str(TESTS)}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    count, result = run.stdout.split(maxsplit=1)
    return int(count), result


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("cache")
    count, result = run_in(folder)
    assert count > 0
    return folder, result


def test_a_second_process_compiles_nothing(filled: tuple[Path, str]) -> None:
    folder, result = filled
    assert run_in(folder) == (0, result)


@pytest.mark.parametrize(
    "damage",
    [
        "changed",
        *(pytest.param(d, marks=pytest.mark.exhaustive) for d in ("cut", "emptied", "removed")),
    ],
)
@pytest.mark.slow
def test_damaged_files_are_made_again(filled: tuple[Path, str], damage: str) -> None:
    folder, result = filled
    paths = sorted(folder.rglob("*.kernel"))
    assert paths
    for path in paths[:2]:
        content = path.read_bytes()
        middle = len(content) // 2
        if damage == "removed":
            path.unlink()
        elif damage == "changed":
            flipped = bytes([content[middle] ^ 1])
            path.write_bytes(content[:middle] + flipped + content[middle + 1 :])
        else:
            path.write_bytes(content[: middle if damage == "cut" else 0])
    count, again = run_in(folder)
    assert count > 0
    assert again == result
    assert run_in(folder) == (0, result)


@pytest.mark.slow
def test_another_cpu_has_its_own_code(filled: tuple[Path, str]) -> None:
    folder, result = filled
    before = set(folder.glob("kernels/*"))
    count, other = run_in(folder, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert count > 0
    assert other == result
    assert len(set(folder.glob("kernels/*")) - before) == 1


ENTRY = """
from bnnkit.runtime.kernels import compiled, machine_code, program
made = []
def compile_kernel(*arguments):
    made.append(arguments)
    return machine_code.compile_kernel(*arguments)
compiled.compile_kernel = compile_kernel
program.entry(program.execute)
print(program.__file__, len(made))
"""


@pytest.mark.parametrize(
    "suffix",
    [
        pytest.param(".zip", marks=pytest.mark.slow),
        pytest.param(".pyc", marks=pytest.mark.exhaustive),
    ],
)
def test_an_install_without_source_files(suffix: str, tmp_path: Path) -> None:
    """A zip file of the package, and a folder with nothing but compiled modules."""
    package = tmp_path / "bnnkit"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(bnnkit.__file__).parent, package, ignore=ignored)
    assert compileall.compile_dir(package, quiet=1, legacy=True)
    for path in package.rglob("*.py"):
        path.unlink()
    place = tmp_path
    if suffix == ".zip":
        place = Path(shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path, "bnnkit"))
    environment = {
        **os.environ,
        "PYTHONPATH": str(place),
        "BNNKIT_CACHE_DIR": str(tmp_path / "cache"),
    }
    for made in (1, 0):  # the second process finds what the first one stored
        run = subprocess.run(
            [sys.executable, "-P", "-c", ENTRY],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        file, count = run.stdout.split()
        assert file.startswith(str(place))
        assert (int(count), run.stderr) == (made, "")


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_not_needed(
    filled: tuple[Path, str], tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    count, result = run_in(blocked / "cache", TMPDIR=str(tmp_path))
    assert count > 0
    assert result == filled[1]
