"""An option without effect gets a note; one that contradicts another is refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import fail, run


@pytest.fixture
def images(tmp_path: Path) -> Path:
    np.save(tmp_path / "images.npy", np.zeros((2, 1, 8, 8), np.uint8))
    return tmp_path / "images.npy"


def note_of(*arguments: object) -> str:
    """The only note of a command that succeeds."""
    found = run(*arguments)
    assert found.exit_code == 0, found.output
    notes = [line for line in found.stderr.splitlines() if "no effect" in line]
    assert len(notes) == 1
    return notes[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", 3], "note: --seed has no effect without --samples M"),
        (["--seed", 0], "note: --seed has no effect without --samples M"),
        (
            ["--seed", 3, "--antithetic"],
            "note: --seed and --antithetic have no effect without --samples M",
        ),
        (["--error-rate", 0.1], "note: --error-rate has no effect without --samples auto"),
        (
            ["--max-samples", 9, "--samples", 3],
            "note: --max-samples has no effect without --samples auto",
        ),
        (["--most-samples", 9], "note: --max-samples has no effect without --samples auto"),
    ],
)
@pytest.mark.parametrize("command", ["run", "eval"])
def test_options_of_the_noise(
    command: str, options: list[object], said: str, digits_model: Path, images: Path
) -> None:
    rest = [images, "-o", images.parent / "out.npy"] if command == "run" else []
    assert note_of(command, digits_model, *rest, *options) == said


def test_a_seed_without_samples_changes_no_output(digits_model: Path, images: Path) -> None:
    plain, seeded = images.parent / "plain.npy", images.parent / "seeded.npy"
    assert run("run", digits_model, images, "-o", plain).stderr == ""
    note_of("run", digits_model, images, "-o", seeded, "--seed", 3)
    assert plain.read_bytes() == seeded.read_bytes()


def test_json_is_whole_beside_a_note(digits_model: Path) -> None:
    found = run("eval", digits_model, "--json", "--seed", 3)
    assert "note: --seed" in found.stderr
    assert json.loads(found.stdout)["samples"] == 0


def test_options_of_the_noise_in_bench(digits_model: Path) -> None:
    options = ["--seed", 1, "--engines", "bnnkit", "--seconds", 0.01]
    assert "--seed has no effect without --samples M" in note_of("bench", digits_model, *options)


def test_a_seed_may_stand_beside_no_samples(digits_model: Path, images: Path) -> None:
    """Scripts that try several numbers of samples give both."""
    out = images.parent / "out.npy"
    found = run("run", digits_model, images, "-o", out, "--seed", 3, "--samples", 0)
    assert found.exit_code == 0, found.output
    assert found.stderr == ""


@pytest.mark.parametrize("data", [[], ["--data", "images.npy"]])
def test_folders_of_data_that_are_not_read(
    data: list[str], digits_model: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images.parent)
    said = note_of("verify", digits_model, *data, "--data-dir", images.parent, "--images", 2)
    assert "--data-dir has no effect without --data and the name of a data set" in said


def test_samples_of_a_file_without_noise(tmp_path: Path, digits_run: Path) -> None:
    model = tmp_path / "m.onnx"
    assert run("export", digits_run, "-o", model, "--mode", "deterministic").exit_code == 0
    for arguments in ([model], [digits_run, model]):
        said = note_of("verify", *arguments, "--samples", 3, "--images", 2)
        assert said == f"note: --samples has no effect on {model}, which has no noise"


@pytest.mark.slow
def test_a_seed_of_an_export_that_draws_nothing(tmp_path: Path, digits_run: Path) -> None:
    plain, seeded = tmp_path / "plain.onnx", tmp_path / "seeded.onnx"
    assert run("export", digits_run, "-o", plain).exit_code == 0
    assert "--seed has no effect" in note_of("export", digits_run, "-o", seeded, "--seed", 3)
    assert plain.read_bytes() == seeded.read_bytes()


def test_an_export_that_contradicts_itself(digits_run: Path, tmp_path: Path) -> None:
    """A scale of the noise asks for noise, which a .tflite file has with --mode samples only."""
    options = ["--to", "tflite", "--noise-scale", 0.5]
    said = fail("export", digits_run, "-o", tmp_path / "m", *options)
    assert said == "--noise-scale needs --mode samples; give both, or neither"
    assert not list(tmp_path.iterdir())


def test_threads_of_a_checkpoint(digits_run: Path) -> None:
    said = note_of("eval", digits_run, "--threads", 2)
    assert said == "note: --threads has no effect on a checkpoint, which torch evaluates"


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
