"""The share of latent weights that noise hardly flips."""

import math
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from bnnkit.nn import BinaryLinear
from bnnkit.training import train
from bnnkit.training.config import parse_config
from bnnkit.training.history import read_history
from bnnkit.training.saturation import saturated_shares


@pytest.mark.parametrize("noise", ["logistic", "uniform"])
def test_saturated_weights_are_counted_by_layer(noise: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(BinaryLinear(40, 30, noise=noise), nn.Linear(30, 2))
    latent = network.get_parameter("0.latent")
    with torch.no_grad():
        latent.copy_(4 * torch.randn_like(latent))
    count = 0
    for eta in latent.flatten().tolist():
        f = 1 / (1 + math.exp(-2 * eta)) if noise == "logistic" else min(max((eta + 1) / 2, 0), 1)
        count += min(f, 1 - f) < 0.01
    assert saturated_shares(network) == {"0": round(count / 1200, 6)}
    assert 0 < count < 1200


def test_weights_that_are_not_drawn_have_no_share() -> None:
    assert saturated_shares(BinaryLinear(4, 3, weight_rule="standardised")) == {}


def test_a_run_records_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnnkit.training.finish.draw_curves", lambda *_, **__: None)
    text = (
        "{model: {name: mlp, width: 16}, epochs: 2, batch_size: 128, eval_every: 2, device: cpu,"
        " eval_samples: 0, recalibrate: 0}"
    )
    train(parse_config(text), tmp_path, console=Console(quiet=True))
    first, last, final = read_history(tmp_path / "metrics.jsonl")
    assert last["saturated"].keys() == last["flip_rates"].keys()
    assert 0 <= last["saturated"]["features.4"] < 0.5
    assert "saturated" not in first
    assert "saturated" not in final
