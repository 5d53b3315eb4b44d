"""Temperatures of exported networks: fitted on held-out examples, part of the last layer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from torch import nn

import bnnkit.runtime as rt
from bnnkit import data
from bnnkit.cli.group import bnnkit_command
from bnnkit.deployment.temperature import divide_logits, fit_temperature, held_out_logits
from bnnkit.errors import UsageError
from bnnkit.runtime.open_file import read
from bnnkit.training.build_model import build_model
from bnnkit.training.checkpoint import describe, save_checkpoint
from bnnkit.training.config import parse_config
from bnnkit.training.validation import hold_out


def _nll(logits: NDArray[Any], labels: NDArray[Any], temperature: float) -> float:
    scaled = logits.astype(np.float64) / temperature
    p = np.exp(scaled - scaled.max(2, keepdims=True))
    mean = (p / p.sum(2, keepdims=True)).mean(0)
    return float(-np.log(mean[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("samples", [1, 3])
def test_the_fit_is_the_best_of_a_fine_grid(samples: int) -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 300)
    logits = rng.normal(0, 6, (samples, 300, 4)).astype(np.float32)
    logits[:, np.arange(300), labels] += 5
    found = fit_temperature(logits, labels)
    grid = np.exp(np.linspace(np.log(0.2), np.log(50), 2000))
    losses = [_nll(logits, labels, t) for t in grid]
    assert found == pytest.approx(grid[np.argmin(losses)], rel=0.01)
    assert _nll(logits, labels, found) <= min(losses) + 1e-9


def test_a_network_without_errors_has_no_best_temperature() -> None:
    logits = 3 * np.eye(4, dtype=np.float32)[None]
    with pytest.raises(UsageError, match="held-out examples with some errors"):
        fit_temperature(logits, np.arange(4))


def test_errors_of_single_samples_alone_give_no_temperature_of_0() -> None:
    logits = np.tile(np.array([0.05, 0], np.float32), (2, 50, 1))
    logits[0, 0] = [0, 0.001]  # the other sample and all other examples are right
    with pytest.raises(UsageError, match="without an error, or nearly; give a number"):
        fit_temperature(logits, np.zeros(50, np.int64))


def test_only_the_last_layer_is_divided() -> None:
    hidden = nn.Linear(3, 5)
    network = nn.Sequential(hidden, nn.ReLU(), nn.Linear(5, 2))
    x = torch.randn(7, 3)
    with torch.no_grad():
        first, logits = hidden.weight.clone(), network(x)
        divide_logits(network, x[:1], 2.0)
        assert torch.equal(network(x), logits / 2)  # exact for a power of two
    assert torch.equal(hidden.weight, first)


def test_other_last_layers_are_refused() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    with pytest.raises(UsageError, match="whose output is that of a linear layer"):
        divide_logits(network, torch.zeros(1, 3), 2.0)
    twice = nn.Linear(3, 3)
    with pytest.raises(UsageError, match="called once"):
        divide_logits(nn.Sequential(twice, twice), torch.zeros(1, 3), 2.0)
    with pytest.raises(UsageError, match=r"a temperature above 0, got 0\.0"):
        divide_logits(nn.Linear(3, 3), torch.zeros(1, 3), 0.0)


def _export(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(bnnkit_command, ["export", *map(str, arguments)])
    return done.exit_code, done.output


@pytest.mark.slow
def test_export_divides_and_verify_agrees(digits_run: Path, tmp_path: Path) -> None:
    plain, file, images = tmp_path / "plain.onnx", tmp_path / "model.onnx", tmp_path / "x.npy"
    assert _export(digits_run, "-o", plain)[0] == 0
    code, output = _export(digits_run, "-o", file, "--temperature", 2.5)
    assert code == 0, output
    assert "logits divided by the temperature 2.5" in output
    assert read(file).metadata["temperature"] == "2.5"
    x = data.load("digits").x_test[:40]
    logits, divided = (np.asarray(rt.load(model).run(x)) for model in (plain, file))
    np.testing.assert_allclose(divided, logits / 2.5, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(divided.argmax(1), logits.argmax(1))
    np.save(images, x[:6])
    done = CliRunner().invoke(
        bnnkit_command, ["verify", str(digits_run), str(file), "--data", str(images), "--json"]
    )
    assert done.exit_code == 0, done.output
    engines = {one["engine"] for one in json.loads(done.stdout)["comparisons"]}
    assert "torch" in engines


@pytest.mark.slow
def test_auto_fits_the_examples_that_the_run_held_out(digits_run: Path, tmp_path: Path) -> None:
    file, plain = tmp_path / "model.onnx", tmp_path / "plain.onnx"
    options = ["--calibrate", "digits", "--mode", "deterministic"]
    assert _export(digits_run, "-o", plain, *options)[0] == 0
    code, output = _export(digits_run, "-o", file, *options, "--temperature", "auto", "--json")
    assert code == 0, output
    dataset = data.load("digits")
    _, held_out = hold_out(len(dataset.x_train), 0.1)
    logits = held_out_logits(read(plain), dataset.x_train[held_out], 0)
    want = round(fit_temperature(logits, dataset.y_train[held_out]), 2)
    assert json.loads(output)["temperature"] == want
    assert float(read(file).metadata["temperature"]) == want


@pytest.mark.slow
def test_samples_of_a_stochastic_file_are_fitted_together(digits_run: Path) -> None:
    from bnnkit.deployment.export_checkpoint import checkpoint_artifact

    x = data.load("digits").x_test[:3]
    logits = held_out_logits(checkpoint_artifact(digits_run), x, 4)
    assert logits.shape == (10, 3, 10)
    assert not np.array_equal(logits[0], logits[1])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("loss: multi-label", "for scores of classes, but the output holds log-odds"),
        ("loss: mse", "for scores of classes, but the output holds values"),
        ("validation: 0", "held out none of its training examples: a temperature is fitted"),
    ],
)
def test_auto_is_refused_before_the_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, message: str
) -> None:
    monkeypatch.setattr("bnnkit.deployment.export_checkpoint.calibrate", None)
    x, rng = np.zeros((50, 4), np.float32), np.random.default_rng(0)
    targets = {
        "loss: multi-label": rng.integers(0, 2, (50, 3)),
        "loss: mse": rng.random((50, 3)),
        "validation: 0": np.arange(50) % 3,
    }
    np.savez(tmp_path / "x.npz", x=x, y=targets[config])
    dataset = data.load(str(tmp_path / "x.npz"))
    parsed = parse_config(f"model: {{name: mlp, width: 8}}\n{config}")
    run = tmp_path / "checkpoint.safetensors"
    save_checkpoint(run, build_model(parsed.model, dataset), parsed, describe(dataset, 0.5))
    options = ("--calibrate", tmp_path / "x.npz", "--temperature", "auto")
    code, output = _export(run, "-o", tmp_path / "model.onnx", *options)
    assert (code, message in output) == (2, True), output
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--temperature", "warm"), "expected a number or auto, got 'warm'"),
        (("--temperature", "auto"), "--temperature auto needs --calibrate DATA"),
        (("--temperature", "-1"), "expected a temperature to be a finite number of at least 0"),
        (("--temperature", "nan"), "expected a temperature to be a finite number"),
    ],
)
def test_bad_temperatures(
    digits_run: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    code, output = _export(digits_run, "-o", tmp_path / "model.onnx", *options)
    assert code == 2
    assert message in output
    assert not (tmp_path / "model.onnx").exists()
