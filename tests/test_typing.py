"""Type checkers find the types of everything that users import."""

import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def test_the_package_says_that_it_has_types() -> None:
    assert files("bnnkit").joinpath("py.typed").is_file()


@pytest.mark.slow
def test_pyright_accepts_a_users_program(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pyright = shutil.which("pyright")
    if pyright is None:
        pytest.skip("pyright is not installed")
    if subprocess.run([pyright, "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("pyright cannot get its program")
    # Elsewhere than in the checkout, whose configuration is for bnnkit itself.
    program = shutil.copy(TESTS / "data" / "typed_user.py", tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{TESTS.parent}"]}}')
    run = subprocess.run(
        [pyright, "--pythonpath", sys.executable, program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 errors, 0 warnings" in run.stdout
