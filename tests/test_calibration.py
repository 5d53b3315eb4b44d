"""Batch-norm statistics re-estimated at export, and the report of the change."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import bnnkit.nn as bnn
from bnnkit import data
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.sample import Sample
from bnnkit.cli.group import bnnkit_command
from bnnkit.data import Dataset
from bnnkit.deployment import calibrate as calibration
from bnnkit.deployment.calibrate import calibrate, images_to_see
from bnnkit.deployment.samples import SAMPLES
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.nn.sampling import sampling
from bnnkit.runtime import Model
from bnnkit.runtime.open_file import read
from bnnkit.training.augment import Views, draw_views


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        bnn.IntegerConv2d(1, 8, 3, zero_point=[9]),
        nn.BatchNorm2d(8),
        bnn.Sign(),
        bnn.BinaryConv2d(8, 16, 3),
        nn.BatchNorm2d(16),
        bnn.Sign(),
        nn.Flatten(),
        nn.Linear(256, 10),
    ).eval()


def digits(n_train: int = 300, n_test: int = 50) -> Dataset:
    whole = data.load("digits")
    return Dataset(
        name="few digits",
        x_train=whole.x_train[:n_train],
        y_train=whole.y_train[:n_train],
        x_test=whole.x_test[:n_test],
        y_test=whole.y_test[:n_test],
        classes=whole.classes,
    )


def statistics(model: nn.Sequential) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            mean, variance = module.get_buffer("running_mean"), module.get_buffer("running_var")
            found[name] = (mean.clone(), variance.clone())
    return found


@pytest.mark.slow
def test_the_statistics_are_those_of_the_mode() -> None:
    few = digits()
    models = {mode: network() for mode in ("samples", "deterministic")}
    calibrate(models["samples"], few, "samples", seed=3)
    calibrate(models["deterministic"], few, "deterministic", seed=3)
    order = np.random.default_rng(3).permutation(300)
    images = torch.from_numpy(few.x_train[order])
    for mode, model in models.items():
        with torch.no_grad(), sampling(Sample(seed=3) if mode == "samples" else None):
            sums = model[:4](images)
        mean, variance = statistics(model)["4"]
        torch.testing.assert_close(mean, sums.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(variance, sums.var((0, 2, 3)), rtol=1e-3, atol=1e-3)
    assert not torch.equal(*(statistics(model)["4"][0] for model in models.values()))


@pytest.mark.slow
def test_images_are_augmented_as_in_training() -> None:
    few = digits(n_train=40)
    model, plain = network(), network()
    calibrate(model, few, "deterministic", augment="crop-flip-uniform", seed=3)
    calibrate(plain, few, "deterministic", seed=3)
    images = torch.from_numpy(few.x_train[np.random.default_rng(3).permutation(40)])
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        views = draw_views((40,), "uniform", torch.device("cpu"))
        sums = model[:1](Views(images, few.zero_point)(torch.arange(40), views))
    torch.testing.assert_close(
        statistics(model)["1"][0], sums.mean((0, 2, 3)), rtol=1e-4, atol=1e-4
    )
    assert not torch.equal(statistics(model)["1"][0], statistics(plain)["1"][0])


@pytest.mark.slow
def test_the_report_tells_what_has_moved() -> None:
    few, model = digits(), network()
    with torch.no_grad():
        model[4].get_buffer("running_mean").fill_(100)
        model[4].get_buffer("running_var").fill_(25)
    before = statistics(model)
    plain = Model(from_torch(model, torch.from_numpy(few.x_test[:1])))
    found = calibrate(model, few, "samples")
    after = statistics(model)
    assert (found.data, found.mode, found.images, found.test_images) == (
        "few digits",
        "samples",
        300,
        50,
    )
    assert [norm.name for norm in found.norms] == ["1", "4"]
    for norm in found.norms:
        (old_mean, old_variance), (mean, variance) = before[norm.name], after[norm.name]
        shift = ((mean - old_mean) / old_variance.sqrt()).square().mean().sqrt()
        assert norm.mean_shift == pytest.approx(float(shift), rel=1e-5)
        ratio = np.median((variance / old_variance).numpy())
        assert norm.variance_ratio == pytest.approx(float(ratio), rel=1e-5)
    calibrated = Model(from_torch(model, torch.from_numpy(few.x_test[:1])))
    for accuracy, file in ((found.before, plain), (found.after, calibrated)):
        for samples, told in ((0, accuracy.deterministic), (SAMPLES, accuracy.samples)):
            classes = file.predict(few.x_test, samples=samples).argmax(axis=1)
            assert told == (classes == few.y_test).mean()


def test_progress_is_told_of_every_image() -> None:
    few, done = digits(70, 20), list[int]()
    calibrate(network(), few, "deterministic", advance=done.append)
    assert sum(done) == images_to_see(few) == 70 + 2 * 20


def test_more_images_than_are_of_use_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "IMAGES", 60)
    monkeypatch.setattr(calibration, "TEST_IMAGES", 30)
    few, done = digits(70, 40), list[int]()
    found = calibrate(network(), few, "deterministic", advance=done.append)
    assert (found.images, found.test_images) == (60, 30)
    assert sum(done) == images_to_see(few) == 60 + 2 * 30


def test_a_deterministic_calibration_tells_no_accuracy_of_samples() -> None:
    found = calibrate(network(), digits(20, 10), "deterministic")
    assert found.after.samples is None
    assert found.before.samples is None


def export(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(bnnkit_command, ["export", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.mark.slow
def test_export_calibrates_and_says_so(digits_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    code, output = export(digits_run, "-o", path, "--calibrate", "digits", "--json")
    assert code == 0, output
    told = json.loads(output)
    assert told["calibration"]["mode"] == "samples"
    assert told["calibration"]["data"] == "digits"
    assert len(told["calibration"]["norms"]) == 3
    about = read(path).metadata
    assert float(about["accuracy"]) == told["calibration"]["after"]["deterministic"]
    assert float(about["accuracy"]) != 0.1  # that of the checkpoint
    test = data.load("digits")
    classes = Model(Artifact(onnx.load(path))).predict(test.x_test).argmax(axis=1)
    assert float(about["accuracy"]) == (classes == test.y_test).mean()


@pytest.mark.slow
def test_export_prints_what_calibration_has_changed(digits_run: Path, tmp_path: Path) -> None:
    x, y = data.load("digits").x_test, data.load("digits").y_test
    np.savez(tmp_path / "few.npz", x=x[:60], y=np.arange(60) % 10)
    assert len(y) >= 60
    code, output = export(
        digits_run,
        "-o",
        tmp_path / "model.onnx",
        "--calibrate",
        "few.npz",
        "--data-dir",
        tmp_path,
        "--mode",
        "deterministic",
    )
    assert code == 0, output
    assert "batch norms, calibrated on 48 images of" in output
    assert "accuracy on 12 test images: deterministic " in output
    assert "samples" not in output.partition("layers")[0]
    # The accuracy that the file tells is on its own data set.
    assert "accuracy" not in read(tmp_path / "model.onnx").metadata


def test_export_stores_draws_and_tells_their_size(digits_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    code, output = export(digits_run, "-o", path, "--sample-weights", 3, "--seed", 8)
    assert code == 0, output
    assert "draws of each noisy weight: 3; " in output
    assert "WeightDraw" in {node.op_type for node in onnx.load(path).graph.node}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mode", "deterministic", "--sample-weights", 2), "expected mode samples for draws"),
        (("--sample-weights", 1025), "expected 0 to 1024 draws of the weights, got 1025"),
        (("--sample-weights", 2, "--seed", -1), "expected a seed from 0 to 2^64 - 1, got -1"),
        (("--data-dir", "."), "--data-dir needs --calibrate DATA"),
        (("--calibrate", "nowhere"), "unknown data set 'nowhere'"),
        (("--calibrate", "other.npz"), "expected data of uint8 (1, 8, 8) to calibrate"),
        (("--calibrate", "from_one.npz"), "got 1 to 10; subtract 1 from labels that count from 1"),
        (("--calibrate", "more.npz"), "expected labels from 0 to 9 in more, got 0 to 11"),
        (
            ("--calibrate", "more:load", "--trust-code", "more"),
            "the network has 10 classes, more:load has 12",
        ),
    ],
)
def test_bad_options_end_in_one_line(
    digits_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("other.npz", x=np.zeros((20, 1, 4, 4), np.uint8), y=np.arange(20) % 2)
    np.savez("from_one.npz", x=np.zeros((200, 8, 8), np.uint8), y=np.arange(200) % 10 + 1)
    x, y = np.zeros((20, 1, 8, 8), np.uint8), np.arange(20) % 12
    np.savez("more.npz", x_train=x, y_train=y, x_test=x, y_test=y % 10)
    Path("more.py").write_text(
        "import numpy as np\n\n\ndef load():\n    one = [(np.zeros((1, 8, 8), np.uint8), 0)]\n"
        "    return {'train': one, 'test': one, 'classes': 'abcdefghijkl'}\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    code, output = export(digits_run, "-o", "model.onnx", *options)
    sys.modules.pop("more", None)
    assert code == 2
    assert message in output
    assert len(output.strip().splitlines()) == 1
    assert not Path("model.onnx").exists()
