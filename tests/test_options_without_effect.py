"""An option without effect is refused in a line that says what it needs."""

import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import fail, run


@pytest.fixture
def images(tmp_path: Path) -> Path:
    np.save(tmp_path / "images.npy", np.zeros((2, 1, 8, 8), np.uint8))
    return tmp_path / "images.npy"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", 3], "--seed needs --samples M"),
        (["--seed", 0], "--seed needs --samples M"),
        (["--seed", 3, "--antithetic"], "--seed and --antithetic need --samples M"),
        (["--error-rate", 0.1], "--error-rate needs --samples auto"),
        (["--max-samples", 9, "--samples", 3], "--max-samples needs --samples auto"),
        (["--most-samples", 9], "--max-samples needs --samples auto"),
    ],
)
@pytest.mark.parametrize("command", ["run", "eval"])
def test_options_of_the_noise(
    command: str, options: list[object], said: str, digits_model: Path, images: Path
) -> None:
    rest = [images, "-o", images.parent / "out.npy"] if command == "run" else []
    assert said in fail(command, digits_model, *rest, *options)


def test_options_of_the_noise_in_bench(digits_model: Path) -> None:
    assert "--seed needs --samples M" in fail("bench", digits_model, "--seed", 1)


def test_a_seed_may_stand_beside_no_samples(digits_model: Path, images: Path) -> None:
    """Scripts that try several numbers of samples give both."""
    out = images.parent / "out.npy"
    found = run("run", digits_model, images, "-o", out, "--seed", 3, "--samples", 0)
    assert found.exit_code == 0, found.output


def test_folders_of_data_that_are_not_read(digits_model: Path, images: Path) -> None:
    for data in ([], ["--data", images]):
        said = fail("verify", digits_model, *data, "--data-dir", images.parent)
        assert "--data-dir needs --data with the name or file of a data set" in said


def test_samples_of_a_file_without_noise(tmp_path: Path, digits_run: Path) -> None:
    model = tmp_path / "m.onnx"
    assert run("export", digits_run, "-o", model, "--mode", "deterministic").exit_code == 0
    assert "m.onnx has no noise" in fail("verify", model, "--samples", 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", 3], "--seed needs a file that draws random numbers"),
        (["--to", "tflite", "--noise-scale", 0.5], "--noise-scale needs --mode samples"),
    ],
)
def test_options_of_an_export(
    options: list[object], said: str, digits_run: Path, tmp_path: Path
) -> None:
    assert said in fail("export", digits_run, "-o", tmp_path / "m", *options)
    assert not list(tmp_path.iterdir())


def test_threads_of_a_checkpoint(digits_run: Path) -> None:
    assert "--threads needs a model file" in fail("eval", digits_run, "--threads", 2)


def test_verify_takes_random_inputs_where_digits_are_not_installed(
    digits_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board has no scikit-learn; a data set that was asked for by name stays an error."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    found = run("verify", digits_model)
    assert found.exit_code == 0, found.output
    assert "random inputs instead of the test part of digits" in found.stderr
    assert "pip install 'bnnkit[train]'" in found.stderr
    assert "on 100 images, random inputs" in found.stdout
    assert "the data set digits needs" in fail("verify", digits_model, "--data", "digits")
