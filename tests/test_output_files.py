"""Files that cannot be written: said in one line, and what was there before stays."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from command_line import error_line, fail
from full_disk import file_size_limit
from stopped_export import EXPORTING, HALF_WRITTEN, stopped_export

from bnnkit.cli.group import bnnkit_command
from bnnkit.files.atomic import write_text


def _outputs(digits_run: Path, model: Path, images: Path, out: Path) -> list[list[object]]:
    """Every command that writes a file."""
    quick = ["--engines", "bnnkit", "--seconds", "0.01"]
    return [
        ["export", digits_run, "-o", out],
        ["run", model, images, "-o", out],
        ["bench", model, *quick, "--json", out],
        ["eval", model, "--data", "digits", "--plot", out],
    ]


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("place", ["/sys", "missing"])
@pytest.mark.slow
def test_folder_that_cannot_be_written(
    place: str, which: int, digits_run: Path, digits_model: Path, model: Path, images: Path
) -> None:
    if place == "/sys" and not Path("/sys").is_dir():
        pytest.skip("no /sys, the folder in which not even root may write")
    folder = Path(place) if place == "/sys" else model.parent / "missing"
    name = {0: "m.onnx", 1: "out.npy", 2: "bench.json", 3: "plot.png"}[which]
    arguments = _outputs(digits_run, digits_model, images, folder / name)[which]
    given = [str(argument) for argument in arguments]
    result = CliRunner().invoke(bnnkit_command, given)
    assert result.exit_code == 2
    assert f"cannot write {folder / name}: " in error_line(result.stderr, given[0])


@pytest.mark.parametrize("which", range(2))
def test_full_disk_leaves_the_old_file(
    which: int, digits_run: Path, digits_model: Path, images: Path, out: Path
) -> None:
    many = np.zeros((2000, 1, 8, 8), np.uint8)
    np.save(images, many)
    old = out.with_name({0: "m.onnx", 1: "out.npy"}[which])
    old.write_text("old")
    arguments = [str(a) for a in _outputs(digits_run, digits_model, images, old)[which]]
    with file_size_limit(2000):
        result = CliRunner().invoke(bnnkit_command, arguments)
    assert result.exit_code == 2, result.stderr
    assert "cannot write" in error_line(result.stderr, arguments[0])
    assert old.read_text() == "old"
    assert list(out.parent.iterdir()) == [old]


INTERRUPTED = (signal.SIGINT, 130, "bnnkit export: interrupted\n")

TERMINATED = (signal.SIGTERM, 143, "bnnkit export: terminated\n")


@pytest.mark.parametrize(
    ("point", "number", "code", "said"),
    [
        (EXPORTING, *TERMINATED),
        pytest.param(EXPORTING, *INTERRUPTED, marks=pytest.mark.exhaustive),
        pytest.param(HALF_WRITTEN, *TERMINATED, marks=pytest.mark.exhaustive),
        pytest.param(HALF_WRITTEN, *INTERRUPTED, marks=pytest.mark.exhaustive),
    ],
)
@pytest.mark.slow
def test_a_stopped_export_leaves_the_old_file(
    point: str, number: int, code: int, said: str, digits_run: Path, out: Path
) -> None:
    path = out.with_suffix(".onnx")
    path.write_text("old")
    returned, errors, before = stopped_export(digits_run, path, point=point, signal=number)
    assert len(before) == 1 + (point == HALF_WRITTEN)
    assert (returned, errors) == (code, said)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_command_reads_is_not_written_over(
    digits_run: Path, model: Path, images: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    (run / "config.yaml").write_text("a file of the run")
    for output in (run / "checkpoint.safetensors", run / "config.yaml"):
        before = output.read_bytes()
        for source in (run, run / "checkpoint.safetensors"):
            assert "the command reads it" in fail("export", source, "-o", output)
        assert output.read_bytes() == before
    before = images.read_bytes()
    assert "the command reads it" in fail("run", model, images, "-o", images)
    assert images.read_bytes() == before
    before = model.read_bytes()
    assert "the command reads it" in fail("convert", model, "-o", model)
    assert "the command reads it" in fail("bench", model, "--json", model)
    assert model.read_bytes() == before
    (run / "curves.png").write_text("a file of the run")
    assert "the command reads it" in fail("eval", run, "--plot", run / "curves.png")
    assert (run / "curves.png").read_text() == "a file of the run"


def test_a_device_is_not_replaced(digits_run: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "it is not a regular file" in fail("export", digits_run, "-o", pipe)
    assert pipe.is_fifo()


def test_a_link_keeps_pointing(tmp_path: Path) -> None:
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
