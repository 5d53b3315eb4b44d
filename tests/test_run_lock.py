"""A folder holds one run, and one process trains in it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from bnnkit.cli.group import bnnkit_command
from bnnkit.errors import FileError
from bnnkit.training import train
from bnnkit.training.config import load_config
from bnnkit.training.history import read_history
from bnnkit.training.run_lock import run_lock

CONFIG = "{data: {name: digits}, model: {name: mlp, width: 8}, epochs: 1, device: cpu}"
HOLDING = """
import sys
from pathlib import Path
from bnnkit.training.run_lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


@contextmanager
def _held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder, and is killed without a chance to give it back."""
    command = [sys.executable, "-c", HOLDING, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[1],
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


@pytest.mark.slow
def test_a_second_training_is_refused_until_the_first_is_killed(
    config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with _held(out):
        result = CliRunner().invoke(bnnkit_command, ["train", str(config), "--out", str(out)])
        assert result.exit_code == 2
        said = f"bnnkit train: another process trains in {out}: wait for it, or choose another"
        assert result.stderr.startswith(said)
        assert result.stderr.count("\n") == 1
        assert [path.name for path in out.iterdir()] == [".lock"]
    train(load_config(config), out, console=Console(quiet=True))
    assert len(read_history(out / "metrics.jsonl")) == 2
    assert not (out / ".lock").exists()


def test_a_run_that_was_finished_meanwhile_is_not_done_again(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def waiting(folder: Path) -> Iterator[None]:
        monkeypatch.undo()
        train(load_config(config), folder, console=Console(quiet=True))
        with run_lock(folder):
            yield

    monkeypatch.setattr("bnnkit.training.run.run_lock", waiting)
    with pytest.raises(FileError, match="another process has just finished the run in"):
        train(load_config(config), tmp_path / "run", console=Console(quiet=True))
    assert len(read_history(tmp_path / "run" / "metrics.jsonl")) == 2


def test_only_a_new_and_empty_folder_is_removed(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("old", "new", "used"):
        with run_lock(tmp_path / name):
            if name == "used":
                (tmp_path / name / "file").touch()
    assert {path.name for path in tmp_path.iterdir()} == {"old", "used"}
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["file"]
