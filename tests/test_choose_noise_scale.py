"""The noise scale of a file is chosen on images that the run held out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import fail, run
from test_streamed import Mapped, opened
from torch import nn

import bnnkit.nn as bnn
from bnnkit import data
from bnnkit.artifact.format.sample import Sample
from bnnkit.data import Dataset
from bnnkit.deployment import export_checkpoint
from bnnkit.deployment.choose_noise_scale import best_of, choose_noise_scale
from bnnkit.errors import UsageError
from bnnkit.nn.recalibrate import recalibrate
from bnnkit.nn.sampling import sampling
from bnnkit.nn.sign import set_noise_scale
from bnnkit.runtime.open_file import read
from bnnkit.training.build_model import build_model
from bnnkit.training.checkpoint import describe, save_checkpoint
from bnnkit.training.config import parse_config
from bnnkit.training.validation import hold_out

CONFIG = """
data: {name: digits}
model: {name: mlp, width: 16, estimator: deterministic-st}
"""


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        bnn.IntegerConv2d(1, 8, 3, zero_point=[9]),
        nn.BatchNorm2d(8),
        bnn.Sign(estimator="deterministic-st"),
        nn.Flatten(),
        nn.Linear(288, 10),
    ).eval()


def _few() -> Dataset:
    whole = data.load("digits")
    test = {"x_test": whole.x_test[:1], "y_test": whole.y_test[:1]}
    return Dataset(
        name="few", x_train=whole.x_train[:60], y_train=whole.y_train[:60], **test,
        classes=whole.classes, preprocessing=None,
    )  # fmt: skip


@pytest.mark.slow
def test_the_curve_is_that_of_each_scale_by_itself() -> None:
    few, network, scales = _few(), _network(), (0.2, 1.0)
    trained, held_out = hold_out(60, 0.5)
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    seen: list[int] = []
    shown = (few.x_train[held_out], few.y_train[held_out])
    found = choose_noise_scale(
        network, few, few.train.part(trained), shown,
        scales=scales, samples=3, seed=5, advance=seen.append,
    )  # fmt: skip
    assert seen == [1, 1]
    assert all(torch.equal(network.state_dict()[name], tensors[name]) for name in tensors)
    order = np.random.default_rng(5).permutation(30)
    x, y = torch.from_numpy(few.x_train), torch.from_numpy(few.y_train)
    for index, scale in enumerate(scales):
        scaled = _network()
        set_noise_scale(scaled, scale)
        recalibrate(scaled, [x[trained[order]]], "samples", seed=5)
        passes = []
        for sample in range(3):
            with torch.no_grad(), sampling(Sample(seed=5, index=sample)):
                passes.append(scaled(x[held_out]).double().softmax(1))
        p = torch.stack(passes).mean(0)
        right = (p.argmax(1) == y[held_out]).double().mean()
        assert found.accuracy[index] == pytest.approx(float(right))
        nll = -p[torch.arange(30), y[held_out]].log().mean()
        assert found.nll[index] == pytest.approx(float(nll), rel=1e-5)
    assert found.scale == scales[best_of(found.accuracy, found.nll, "accuracy")]


def test_the_best_scale_by_either_score() -> None:
    accuracy, nll = (0.5, 0.7, 0.7, 0.7), (0.1, 0.4, 0.3, 0.3)
    assert best_of(accuracy, nll, "accuracy") == 2
    assert best_of(accuracy, nll, "nll") == 0


@pytest.mark.parametrize("scales", [(), (0.0, 1.0), (float("nan"),), (0.1, 0.1), (-1.0, 2.0)])
def test_wrong_scales(scales: tuple[float, ...]) -> None:
    few = _few()
    held_out = (few.x_train[:5], few.y_train[:5])
    with pytest.raises(UsageError, match="noise scale"):
        choose_noise_scale(_network(), few, few.train, held_out, scales=scales)


def test_streamed_images_to_choose_on_are_bounded_by_their_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    examples = opened(Mapped).train
    monkeypatch.setattr(export_checkpoint, "MOST_HELD_BYTES", 20 * 64 + 63)
    images, labels = export_checkpoint._arrays(examples)
    assert (images.shape, labels.shape) == ((20, 1, 8, 8), (20,))
    monkeypatch.setattr(export_checkpoint, "MOST_HELD_BYTES", 1)
    assert len(export_checkpoint._arrays(examples)[0]) == 1


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return _checkpoint(tmp_path, CONFIG)


def _checkpoint(folder: Path, text: str) -> Path:
    digits, config = data.load("digits"), parse_config(text)
    torch.manual_seed(1)
    path = folder / "checkpoint.safetensors"
    save_checkpoint(path, build_model(config.model, digits), config, describe(digits, 0.5))
    return path


@pytest.mark.slow
def test_the_file_is_that_of_the_chosen_scale(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    common = ("export", checkpoint, "--calibrate", "digits", "--seed", 3)
    chosen, fixed = tmp_path / "chosen.onnx", tmp_path / "fixed.onnx"
    result = run(
        *common, "-o", chosen, "--noise-scale", "0.1,0.4", "--choose-samples", 2, "--json"
    )
    assert result.exit_code == 0, (result.output, result.exception)
    choice: dict[str, Any] = json.loads(result.stdout)["noise_choice"]
    assert (choice["images"], choice["samples"], choice["by"]) == (143, 2, "accuracy")
    assert choice["scales"] == [0.1, 0.4]
    assert run(*common, "-o", fixed, "--noise-scale", choice["scale"]).exit_code == 0
    with_choice, without = read(chosen), read(fixed)
    assert json.loads(with_choice.metadata["noise_choice"]) == choice
    assert with_choice.model.graph == without.model.graph
    rest = {key: with_choice.metadata[key] for key in without.metadata}
    assert (rest, "noise_choice" in without.metadata) == (without.metadata, False)
    shown = run("info", chosen)
    assert f"noise_choice: scale {choice['scale']}; by accuracy; samples 2" in shown.stdout
    assert run("verify", checkpoint, chosen).exit_code == 0


def test_what_cannot_be_chosen(checkpoint: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "m.onnx")
    auto = (*out, "--noise-scale", "auto")
    assert "need --calibrate DATA" in fail("export", checkpoint, *auto)
    calibrate = ("--calibrate", "digits")
    words = fail("export", checkpoint, *auto, *calibrate, "--mode", "deterministic")
    assert "got deterministic file: give a number" in words
    words = fail("export", checkpoint, *out, "--noise-scale", "0.1,x")
    assert "expected a number, several with commas, or auto, got '0.1,x'" in words
    whole = _checkpoint(tmp_path, f"{CONFIG}validation: 0\n")
    words = fail("export", whole, *auto, *calibrate)
    assert "the run held out none of its training examples: a noise scale is chosen" in words
    assert not (tmp_path / "m.onnx").exists()
