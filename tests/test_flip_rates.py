"""The share of signs that an epoch changes."""

from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from bnnkit.nn import BinaryLinear, binarize_
from bnnkit.training import train
from bnnkit.training.config import parse_config
from bnnkit.training.flip_rates import FlipRates
from bnnkit.training.history import read_history


def test_flips_are_counted_by_layer() -> None:
    own = binarize_(nn.Sequential(nn.Linear(4, 5)), ["0"])
    network = nn.Sequential(BinaryLinear(8, 4, weight_rule="standardised"), own)
    flips = FlipRates(network)
    flips.start()
    latent = network.get_parameter("0.latent")
    with torch.no_grad():
        latent.zero_()
        latent[:, 0] = -1  # its mean is below 0: the first sign is -1, the others are +1
    before = FlipRates(network)
    before.start()
    with torch.no_grad():
        latent[:2] = -latent[:2]
    name = "1.0.parametrizations.weight.original"
    assert before.rates() == {"0": 0.5, name: 0}
    assert set(flips.rates()) == {"0", name}
    assert flips.rates()[name] == 0


def test_a_network_without_binary_weights_has_none() -> None:
    flips = FlipRates(nn.Linear(2, 2))
    flips.start()
    assert flips.rates() == {}


def test_a_run_notes_them(tmp_path: Path) -> None:
    text = "{model: {name: mlp, width: 16}, epochs: 2, batch_size: 64, eval_every: 2, device: cpu}"
    train(parse_config(text), tmp_path, console=Console(quiet=True))
    first, last, final = read_history(tmp_path / "metrics.jsonl")
    assert "flip_rates" not in first
    assert "flip_rates" not in final
    ((layer, share),) = last["flip_rates"].items()
    assert layer == "features.4"
    assert 0 < share < 0.5
