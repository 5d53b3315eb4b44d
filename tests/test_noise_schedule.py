"""The scale of the noise over the epochs of a run, and of the network that it leaves."""

from pathlib import Path

import pytest
import torch
from rich.console import Console
from short_runs import interrupted_at

from bnnkit.errors import ConfigError, UsageError
from bnnkit.nn import Sign
from bnnkit.nn.sign import has_noisy_signs, scale_training_noise, training_noise_scale
from bnnkit.training import load_checkpoint, train
from bnnkit.training.config import dump_config, parse_config
from bnnkit.training.history import read_history
from bnnkit.training.schedule import noise_scale_at

CONFIG = """
data: {name: digits}
model: {name: mlp, width: 8}
epochs: 3
batch_size: 128
recalibrate: 1
eval_samples: 2
device: cpu
"""
QUIET = Console(quiet=True)


def test_the_scale_is_linear_between_points() -> None:
    points = [(2, 1.0), (6, 0.2), (8, 0.0)]
    scales = [noise_scale_at(points, epoch) for epoch in range(1, 10)]
    assert scales == pytest.approx([1, 1, 0.8, 0.6, 0.4, 0.2, 0.1, 0, 0])


def _trained(sign: Sign, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    x = sign.train()(a)
    (gradient,) = torch.autograd.grad((x * torch.arange(len(a))).sum(), a)
    return x.detach(), gradient


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
def test_the_drawn_noise_is_scaled_and_the_gradient_is_not(scale: float) -> None:
    a = torch.linspace(-1, 1, 200).requires_grad_()
    sign, plain, still = Sign(), Sign(), Sign(estimator="deterministic-st")
    sign.scale_training_noise(scale)
    x, gradient = _trained(sign, a)
    torch.manual_seed(3)
    z = plain.noise.sample(a)
    assert torch.equal(x, torch.where(a >= scale * z, 1.0, -1.0))
    assert torch.equal(gradient, _trained(plain, a)[1])
    if scale in (0, 1):
        same = _trained(plain if scale else still, a)
        assert torch.equal(x, same[0])
        assert torch.equal(gradient, same[1])
    names = {0.0: "none", 0.3: "logistic*0.3", 1.0: "logistic"}
    assert sign.sampled_noise.name == names[scale]


def test_signs_whose_scale_cannot_change() -> None:
    with pytest.raises(UsageError, match="estimator zgr follows the distribution"):
        Sign(estimator="zgr").scale_training_noise(0.5)
    network = torch.nn.Sequential(Sign(estimator="deterministic-st"), Sign("none"))
    with pytest.raises(UsageError, match="whose signs draw noise in training"):
        scale_training_noise(network, 0.5)
    assert training_noise_scale(network) is None
    for scale in (-1, float("nan")):
        with pytest.raises(UsageError, match="the scale of a noise"):
            Sign().scale_training_noise(scale)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("[[1, 1], [1, 0.5]]", r"expected \[epoch, scale\] pairs with ascending epochs"),
        ("[[0, 1]]", r"noise_scale\.0\.0: expected a value greater than or equal to 1"),
        ("[[1, -1]]", r"noise_scale\.0\.1: expected a value greater than or equal to 0"),
        ("[]", "noise_scale: .* at least 1 item"),
    ],
)
def test_wrong_schedules(value: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config(CONFIG, [f"noise_scale={value}"])


def test_a_schedule_survives_its_file() -> None:
    config = parse_config(CONFIG, ["noise_scale=[[1, 1], [60, 0.15]]"])
    assert parse_config(dump_config(config)) == config


def test_a_network_without_noise_is_refused(tmp_path: Path) -> None:
    config = parse_config(CONFIG, ["noise_scale=[[1, 1]]", "model.estimator=deterministic-st"])
    with pytest.raises(ConfigError, match="noise_scale: expected a network whose signs draw"):
        train(config, tmp_path / "run", console=QUIET)


@pytest.mark.slow
@pytest.mark.parametrize("last", [0.5, 0])
def test_the_network_has_the_scale_of_its_epoch(tmp_path: Path, last: float) -> None:
    config = parse_config(CONFIG, [f"noise_scale=[[1, 1], [3, {last}]]", "keep=best"])
    train(config, tmp_path / "run", console=QUIET)
    with interrupted_at(15):
        train(config, tmp_path / "stopped", console=QUIET)
    train(config, tmp_path / "stopped", console=QUIET)
    for name in ("checkpoint.safetensors", "best.safetensors"):
        found = [(tmp_path / run / name).read_bytes() for run in ("run", "stopped")]
        assert found[0] == found[1]
    *epochs, final = read_history(tmp_path / "run" / "metrics.jsonl")
    scales = [record["noise_scale"] for record in epochs]
    assert scales == [1, (1 + last) / 2, last]
    best = max(epochs, key=lambda record: record["validation_accuracy"])
    network = load_checkpoint(tmp_path / "run").model
    assert training_noise_scale(network) == best["noise_scale"]
    assert has_noisy_signs(network) == (best["noise_scale"] > 0)
    assert ("test_accuracy_samples" in final) == (best["noise_scale"] > 0)
    assert ("validation_accuracy_samples" in epochs[-1]) == (last > 0)
