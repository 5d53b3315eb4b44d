"""Type checkers find the types of everything that users import."""

import re
import shutil
import subprocess
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": True,
    "docs/explained/mirror-descent.md": True,
    "docs/guides/browser.md": True,
    "docs/guides/choose-an-estimator.md": True,
    "docs/guides/distil.md": True,
    "docs/guides/ecosystem.md": find_spec("huggingface_hub") is not None,
    "docs/guides/ensemble.md": True,
    "docs/guides/float-layers.md": True,
    "docs/guides/own-noise-and-rule.md": True,
    "docs/guides/pretrained.md": True,
    "docs/guides/raspberry-pi.md": True,
    "docs/guides/segmentation.md": True,
    "docs/guides/sequences.md": True,
    "docs/models.md": True,
    "docs/start/your-own.md": True,
}
"""Pages whose code is one program without names that it takes for granted, and whether what they
import is installed."""
SECONDS = 120
"""Pyright fetches its program when it is called for the first time."""


def pyright() -> str:
    """The program; the test is skipped without it."""
    found = shutil.which("pyright")
    if found is None:
        pytest.skip("pyright is not installed")
    try:
        subprocess.run([found, "--version"], capture_output=True, check=True, timeout=SECONDS)
    except subprocess.SubprocessError:
        pytest.skip("pyright cannot get its program")
    return found


def test_the_package_says_that_it_has_types() -> None:
    assert files("bnnkit").joinpath("py.typed").is_file()


@pytest.mark.slow
def test_pyright_accepts_what_users_write(tmp_path: Path) -> None:
    """A program in strict mode, and the code of pages, away from the checkout's configuration."""
    pytest.importorskip("torch")
    program = pyright()
    shutil.copy(ROOT / "tests" / "data" / "typed_user.py", tmp_path)
    for name, is_possible in PAGES.items():
        code = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)
        assert code, name
        if is_possible:
            (tmp_path / f"{Path(name).stem.replace('-', '_')}.py").write_text("\n".join(code))
    (tmp_path / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{ROOT}"]}}')
    run = subprocess.run(
        [program, "--pythonpath", sys.executable, "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 errors, 0 warnings" in run.stdout
