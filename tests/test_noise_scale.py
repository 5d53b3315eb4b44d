"""A network is deployed with another amount of noise than it was trained with."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from bnnkit import data
from bnnkit.cli.group import bnnkit_command
from bnnkit.errors import UsageError
from bnnkit.nn import Sign, get_noise
from bnnkit.nn.sign import has_noisy_signs, set_noise_scale
from bnnkit.training.build_model import build_model
from bnnkit.training.checkpoint import describe, save_checkpoint
from bnnkit.training.config import parse_config


@pytest.mark.parametrize("name", ["logistic", "uniform", "triangular"])
def test_a_scaled_noise_is_s_times_z(name: str) -> None:
    noise, scaled = get_noise(name), get_noise(f"{name}*0.25")
    x = torch.linspace(-1, 1, 101, dtype=torch.float64)
    torch.testing.assert_close(scaled.cdf(x), noise.cdf(4 * x))
    torch.testing.assert_close(scaled.pdf(x), 4 * noise.pdf(4 * x))
    p = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    torch.testing.assert_close(scaled.quantile(p), noise.quantile(p) / 4)
    torch.testing.assert_close(scaled.cdf(scaled.quantile(p)), p)
    assert scaled.name == f"{name}*0.25"
    assert get_noise(scaled.name).name == scaled.name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("logistic*", r"a noise NAME\*SCALE such as logistic\*0.15, got 'logistic\*'"),
        ("logistic*0", "a noise scale above 0, got 0"),
        ("logistic*inf", r"a noise scale to be a finite number .*, got inf"),
        ("none*2", "a noise to scale, got none"),
        ("gauss*2", "a noise out of .*, got 'gauss'"),
    ],
)
def test_wrong_scales(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        get_noise(name)


def test_training_stays_as_it_is() -> None:
    sign = Sign(estimator="deterministic-st")
    network = nn.Sequential(sign)
    a = torch.linspace(-1, 1, 11).requires_grad_()
    (before,) = torch.autograd.grad(network.train()(a).sum(), a)
    assert not has_noisy_signs(network)
    set_noise_scale(network, 0.5)
    assert has_noisy_signs(network)
    assert sign.sampled_noise.name == "logistic*0.5"
    x = network(a)
    assert torch.equal(x, torch.where(a >= 0, 1.0, -1.0))
    (after,) = torch.autograd.grad(x.sum(), a)
    assert torch.equal(before, after)
    set_noise_scale(network, 0)
    assert not has_noisy_signs(network)


def test_networks_without_noise_have_none_to_scale() -> None:
    with pytest.raises(UsageError, match="signs that have a noise, whose scale is set; this has"):
        set_noise_scale(nn.Sequential(Sign("none")), 0.1)


NETWORKS = {
    "convnet": "model: {name: convnet, width: 8, estimator: deterministic-st}",
    "resnet18": (  # with a skip's real sums too
        "model: {name: resnet18, width: 8, estimator: deterministic-st, weight_rule: standardised,"
        " padding_value: zeros, skip: conv, activation: rprelu}"
    ),
}


def deterministic_run(name: str, folder: Path) -> None:
    """Store a deterministic network whose batch norms have statistics."""
    dataset = data.load("digits")
    config = parse_config(NETWORKS[name])
    torch.manual_seed(0)
    network = build_model(config.model, dataset)
    network.train()
    for start in range(0, 256, 32):
        network(torch.from_numpy(dataset.x_train[start : start + 32]))
    path = folder / "checkpoint.safetensors"
    save_checkpoint(path, network.eval(), config, describe(dataset, 0.1))


def _bnnkit(*arguments: object) -> str:
    done = CliRunner().invoke(bnnkit_command, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("name", ["convnet", pytest.param("resnet18", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_the_file_draws_the_scaled_noise_and_all_engines_agree(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    deterministic_run(name, tmp_path)
    file, few, digits = tmp_path / "model.onnx", tmp_path / "few.npz", data.load("digits")
    np.savez(few, x=digits.x_train[:100], y=digits.y_train[:100])
    _bnnkit("export", tmp_path, "-o", file, "--noise-scale", "0.15", "--calibrate", few)
    tables = {t.name: t for t in onnx.load(file).graph.initializer if t.name.startswith("noise.")}
    (table,) = tables.values()
    assert table.name == "noise.logistic*0.15"
    want = 0.15 * get_noise("logistic").quantile((torch.arange(4096).double() + 0.5) / 4096)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(table), want.float().numpy())
    images = tmp_path / "images.npy"
    np.save(images, digits.x_test[:6])
    found = json.loads(_bnnkit("verify", tmp_path, file, "--data", images, "--json"))
    assert found["is_equal"]
    of_torch = next(one for one in found["comparisons"] if one["engine"] == "torch")
    assert of_torch["n_bits"] > 0
    assert not of_torch["differences"]
