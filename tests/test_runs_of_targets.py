"""Whole runs: labels and real values from training to the engines, and streamed data."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import fail, run
from numpy.typing import NDArray
from short_runs import interrupted_at
from test_streamed import Mapped

from bnnkit import data
from bnnkit.data.own_streams import from_torch_datasets
from bnnkit.errors import ConfigError
from bnnkit.runtime import load
from bnnkit.training import evaluate, load_checkpoint, safetensors_file, train
from bnnkit.training.config import Config, parse_config
from bnnkit.training.history import read_history

Array = NDArray[Any]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread", "undrawn")]


def _json(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def _done(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_labels_from_training_to_the_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    digits = data.load("digits")
    labels = np.array([[d % 2 == 0, d >= 5, d in (0, 6, 8, 9)] for d in range(10)])
    names = np.array(["even", "large", "loop"])
    parts = {"x_train": digits.x_train, "y_train": labels[digits.y_train]}
    parts |= {"x_test": digits.x_test, "y_test": labels[digits.y_test], "classes": names}
    np.savez("labels.npz", **parts)
    config = "{data: {name: labels.npz}, model: {name: convnet, width: 16}, epochs: 8, lr: 0.01, "
    config += "batch_size: 64, device: cpu, eval_samples_every: 8, keep: best}"
    (tmp_path / "c.yaml").write_text(config)
    assert "c.yaml: loss cross-entropy expects class indices" in fail("train", "c.yaml", "--out=r")
    _done("train", "c.yaml", "loss=multi-label", "--out", "run")
    checkpoint = load_checkpoint(tmp_path / "run")
    trained = _json("eval", "run", "--samples", "0,10")
    assert trained[0]["accuracy"] == checkpoint.metadata.accuracy
    assert trained[1]["accuracy"] > 0.65, "the more frequent answers have 0.53"
    assert trained[1]["mean_average_precision"] > 0.6
    _done("export", "run", "-o", "m.onnx")
    found = _json("eval", "m.onnx", "--data", "labels.npz", "--samples", "0,10")
    for want, have in zip(trained, found, strict=True):
        for key in ("accuracy", "exact_match", "mean_average_precision", "nll"):
            assert have[key] == pytest.approx(want[key], abs=2e-3), key
    assert _json("info", "m.onnx")["outputs"] == {"scores": "log-odds"}
    images = digits.x_test[:20]
    np.save("x.npy", images)
    _done("run", "m.onnx", "x.npy", "-o", "p.npz", "--samples", "4")
    written = np.load("p.npz")["probabilities"]
    want = evaluate(checkpoint.model, images, samples=4, task=checkpoint.task)
    np.testing.assert_allclose(written, want, atol=1e-5)
    assert np.abs(written.sum(axis=1) - 1).max() > 0.1, "labels do not exclude each other"
    _done("verify", "run", "m.onnx", "--data", "labels.npz", "--images", "50")
    message = fail("eval", "m.onnx", "--data", "digits")
    assert "expected an output of class scores, the file holds log-odds" in message
    message = fail("eval", "run", "--data", "labels.npz", "--plot", "p.png")
    assert "--plot is for classes; labels has labels" in message


def test_values_from_training_to_the_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    from sklearn.datasets import load_diabetes

    diabetes = load_diabetes(scaled=False)
    np.savez("diabetes.npz", x=diabetes.data, y=diabetes.target, classes=np.array(["progress"]))
    (tmp_path / "c.yaml").write_text(
        "{data: {name: diabetes.npz}, loss: huber, epochs: 30, lr: 0.003, batch_size: 32, "
        "model: {name: mlp, width: 64, standardize_inputs: true, standardize_targets: true}, "
        "device: cpu, eval_samples_every: 30, keep: best, validation: 0.2}"
    )
    assert "label_smoothing is for classes and labels" in fail(
        "train", "c.yaml", "label_smoothing=0.1", "--out=r"
    )
    assert "cutout 2 is for images" in fail("train", "c.yaml", "cutout=2", "--out=r")
    said = _done("train", "c.yaml", "--out", "run")
    assert "test mean absolute error, deterministic: " in said
    checkpoint = load_checkpoint(tmp_path / "run")
    trained = _json("eval", "run", "--samples", "0,10")
    assert trained[0]["mae"] == pytest.approx(checkpoint.metadata.mae, rel=1e-5)
    assert checkpoint.metadata.accuracy is None
    assert trained[1]["r2"] > 0.3, "a linear model has 0.4 to 0.5"
    about = _json("export", "run", "-o", "m.onnx", "--calibrate", "diabetes.npz")["calibration"]
    assert about["metric"] == "mae"
    assert 20 < about["after"]["samples"] < 60
    found = _json("eval", "m.onnx", "--data", "diabetes.npz", "--samples", "0,10")
    assert found[1]["mae"] == pytest.approx(about["after"]["samples"], rel=1e-5)
    dataset = data.load("diabetes.npz")
    np.save("x.npy", dataset.x_test)
    _done("run", "m.onnx", "x.npy", "-o", "p.npz", "--samples", "10")
    written = np.load("p.npz")
    assert np.abs(written["mean"] - dataset.y_test).mean() == pytest.approx(found[1]["mae"])
    assert written["spread"].min() > 0
    assert load("m.onnx").output_kinds == ("values",)
    _done("verify", "run", "m.onnx", "--data", "diabetes.npz")
    assert "a temperature divides logits" in fail("export", "run", "-o=n.onnx", "--temperature=2")


def test_sequences_are_inputs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    wave = np.sin(np.arange(16)[None, None] * (1 + y[:, None, None]) / 3 + rng.random((300, 1, 1)))
    np.savez("waves.npz", x=50 + 10 * (wave + rng.normal(0, 0.2, (300, 2, 16))), y=y)
    (tmp_path / "c.yaml").write_text(
        "{data: {name: waves.npz}, model: {name: mlp, width: 32, standardize_inputs: true}, "
        "epochs: 12, batch_size: 32, mixup: 0.2, ema: 0.9, device: cpu, eval_samples: 0}"
    )
    _done("train", "c.yaml", "--out", "run")
    assert _json("eval", "run")["accuracy"] > 0.8
    _done("export", "run", "-o", "m.onnx", "--calibrate", "waves.npz")
    assert _json("eval", "m.onnx", "--data", "waves.npz")["accuracy"] > 0.8
    _done("verify", "run", "m.onnx", "--data", "waves.npz")


TEXT = """
data: {name: digits}
model: {name: convnet, width: 8}
epochs: 3
batch_size: 128
augment: crop-flip
mixup: 0.2
device: cpu
eval_samples: 2
recalibrate: 4
"""


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors_file.read(folder / "checkpoint.safetensors")[0]


def _streamed(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    digits = data.load("digits")
    parts = {"train": Mapped(digits.x_train, digits.y_train)}
    parts["test"] = Mapped(digits.x_test, digits.y_test)
    found = from_torch_datasets("digits", {**parts, "classes": digits.classes}, workers=workers)
    monkeypatch.setattr("bnnkit.training.run.data.open_data", lambda *_, **__: found)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_streamed_run_equals_one_in_memory_also_when_it_was_stopped(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse_config(TEXT)
    want = train(config, tmp_path / "memory")
    _streamed(monkeypatch, workers)
    with interrupted_at(15):
        train(config, tmp_path / "streamed")
    found = train(config, tmp_path / "streamed")
    assert (found.accuracy, found.accuracy_samples) == (want.accuracy, want.accuracy_samples)
    ours, theirs = _weights(tmp_path / "memory"), _weights(tmp_path / "streamed")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_teachers_of_streamed_data_compute_in_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = parse_config(TEXT.replace("crop-flip", "none")).model_dump()
    train(Config.model_validate(plain), tmp_path / "teacher")
    about = {"teachers": [str(tmp_path / "teacher")], "temperature": 2.0, "weight": 0.9}
    config = Config.model_validate(plain | {"distillation": about, "seed": 1, "epochs": 1})
    train(config, tmp_path / "memory")
    _streamed(monkeypatch, 0)
    train(config, tmp_path / "streamed")
    want, found = (
        read_history(tmp_path / name / "metrics.jsonl")[0]["train_loss"]
        for name in ("memory", "streamed")
    )
    assert found == pytest.approx(want, rel=2e-3), "stored logits are float16"
    for key, message in (
        ({"store_logits": True}, "store_logits keeps the logits of all views of all images"),
        ({"auto_augment": "rand-augment"}, "auto_augment augments all images at the start"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(Config.model_validate(plain | key), tmp_path / "other")


PEAK = """
import resource, sys
from pathlib import Path
from bnnkit import data
from bnnkit.data import image_folder
from bnnkit.training import train
from bnnkit.training.config import parse_config

image_folder.MOST_BYTES = 0
config = parse_config(
    "{{data: {{name: folder, dir: {folder}, workers: 1}}, model: {{name: own:make}}, epochs: 1, "
    "batch_size: 8, device: cpu, validation: 0, eval_samples: 0, recalibrate: 2}}"
)
train(config, Path({out!r}))
mine, others = (
    resource.getrusage(who).ru_maxrss
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
)
print(mine, others)
"""
OWN = """
import bnnkit.nn as bnn
from torch import nn


def make(n_classes, zero_point):
    return nn.Sequential(
        bnn.IntegerConv2d(3, 4, 8, stride=64, zero_point=zero_point), nn.BatchNorm2d(4),
        bnn.Sign(), nn.Flatten(), nn.Linear(4 * 8 * 8, n_classes),
    )
"""


def _peak_kib(folder: Path, n_images: int) -> list[int]:
    """Train on a made folder of images of 750 KiB in a process; its largest memory."""
    from PIL import Image

    folder.mkdir()
    (folder / "own.py").write_text(OWN)
    pixels = np.zeros((512, 512, 3), np.uint8)
    for part, count in (("train", n_images), ("test", 8)):
        for name in ("a", "b"):
            place = folder / part / name
            place.mkdir(parents=True)
            Image.fromarray(pixels + (name == "b")).save(place / "0.png")
            for number in range(1, count // 2):
                (place / f"{number}.png").hardlink_to(place / "0.png")
    code = PEAK.format(folder=str(folder), out=str(folder / "run"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "BNNKIT_TRUST_CODE": "own"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()[-2:]]


def test_the_memory_of_a_large_folder_is_that_of_a_small_one(tmp_path: Path) -> None:
    small, large = _peak_kib(tmp_path / "small", 64), _peak_kib(tmp_path / "large", 640)
    unpacked = 640 * 768  # KiB; the small one has a tenth
    for few, many in zip(small, large, strict=True):
        assert many - few < unpacked / 10
