"""The parameters of each optimizer, with their learning rate and decay."""

import pytest
import torch
from torch import nn

from bnnkit.errors import ConfigError
from bnnkit.nn import BinaryConv2d, BinaryLinear, binarize_
from bnnkit.training.config import Config, parse_config
from bnnkit.training.optimizers import Optimizers, match_gradient_strides


def _network() -> nn.Sequential:
    own = binarize_(nn.Sequential(nn.Conv2d(4, 4, 1, bias=False)), ["0"])
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), BinaryConv2d(4, 4, 3), own,
        nn.Flatten(), BinaryLinear(64, 8, bias=True), nn.Linear(8, 2),
    )  # fmt: skip


def _config(text: str) -> Config:
    return parse_config(f"epochs: 10\nlr: 0.5\n{text}")


LATENT = {"2.latent", "3.0.parametrizations.weight.original", "5.latent"}


def test_latent_weights_have_an_optimizer_of_their_own() -> None:
    network = _network()
    text = "optimizer: adamw\nlatent: {optimizer: sgd, lr: 2, weight_decay: 0.25, momentum: 0.5}"
    real, latent = Optimizers(network, _config(text)).all
    names = {id(p): name for name, p in network.named_parameters()}
    found = [
        [{names[id(p)] for p in group["params"]} for group in optimizer.param_groups]
        for optimizer in (real, latent)
    ]
    assert found == [
        [{"0.weight", "6.weight"}, {"1.weight", "1.bias", "5.bias", "6.bias"}],
        [LATENT],
    ]
    assert (type(real), type(latent)) == (torch.optim.AdamW, torch.optim.SGD)
    (group,) = latent.param_groups
    assert (group["weight_decay"], group["momentum"], group["nesterov"]) == (0.25, 0.5, True)
    assert [group["weight_decay"] for group in real.param_groups] == [0, 0]


def test_what_the_latent_section_leaves_out_is_as_for_the_others() -> None:
    text = "optimizer: sgd\nmomentum: 0.7\nweight_decay: 0.1\nlatent: {lr: 1}"
    optimizers = Optimizers(_network(), _config(text))
    group = optimizers.all[1].param_groups[0]
    assert (group["weight_decay"], group["momentum"]) == (0.1, 0.7)
    optimizers.set_learning_rates(0, 5)
    assert optimizers.learning_rates() == [0.5, 1]


def test_one_optimizer_has_all_without_a_latent_section() -> None:
    network = _network()
    (adam,) = Optimizers(network, _config("weight_decay: 0.1")).all
    assert type(adam) is torch.optim.Adam
    weights, others = adam.param_groups
    assert all(p.ndim > 1 for p in weights["params"])
    assert all(p.ndim == 1 for p in others["params"])
    assert (weights["weight_decay"], others["weight_decay"]) == (0.1, 0)
    n_parameters = len(list(network.parameters()))
    assert len(weights["params"]) + len(others["params"]) == n_parameters


def test_all_learning_rates_follow_warm_up_and_schedule() -> None:
    text = "schedule: linear\nwarmup: 0.5\nlatent: {lr: 1}"
    optimizers = Optimizers(_network(), _config(text))
    rates = []
    for step in range(8):
        optimizers.set_learning_rates(step, 4)
        rates.append(optimizers.learning_rates())
    latent = [0.5, 39 / 40, 38 / 40, 37 / 40, 36 / 40, 35 / 40, 34 / 40, 33 / 40]
    assert [rate for _, rate in rates] == pytest.approx(latent)
    assert [rate for rate, _ in rates] == pytest.approx([rate / 2 for rate in latent])


def test_latent_section_of_a_network_without_binary_weights() -> None:
    with pytest.raises(ConfigError, match="has no binary weights; leave out latent"):
        Optimizers(nn.Linear(2, 2), _config("latent: {lr: 1}"))


def test_gradients_of_1x1_convolutions_have_the_strides_of_the_parameter() -> None:
    layers = [nn.Conv2d(6, 4, 1), nn.Conv2d(6, 4, 3)]
    for layer in layers:
        layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        match_gradient_strides(layer.parameters())
        x = torch.randn(2, 6, 5, 5).to(memory_format=torch.channels_last)
        layer(x).sum().backward()
        assert layer.weight.grad is not None
        assert layer.weight.grad.stride() == layer.weight.stride()
    # As cuDNN may hand it out.
    weight = layers[0].weight
    weight.grad = None
    gradient = torch.ones(4, 6, 1, 1).as_strided((4, 6, 1, 1), (6, 1, 6, 6))
    torch.autograd.backward(weight, gradient)
    assert weight.grad is not None
    assert weight.grad.stride() == weight.stride() == (6, 1, 1, 1)
