"""The operations of a training step, and the share of a device's peak."""

import pytest
import torch
from torch import nn

import bnnkit.nn as bnn
from bnnkit.training.device_speed import DeviceSpeed, measure_speed, training_operations


def test_operations_are_counted_layer_by_layer() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        bnn.Sign(),
        bnn.BinaryConv2d(4, 8, 3),
        nn.Flatten(),
        nn.Linear(8 * 2 * 2, 5),
    )
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.random.get_rng_state()
    first, second, last = 4 * 4 * 4 * 2 * 9, 2 * 2 * 8 * 4 * 9, 32 * 5
    # The forward pass, the gradient of the weights, and, but for the first, that of the input.
    expected = 2 * 3 * (2 * first + 3 * second + 3 * last)
    assert training_operations(network, torch.ones(3, 2, 6, 6)) == expected
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(network.state_dict()[name], tensors[name]) for name in tensors)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_share_is_of_all_devices() -> None:
    speed = DeviceSpeed(device="GPU", devices=2, peak=1e12, operations=1e9)
    assert speed.share(500) == pytest.approx(0.25)
    assert str(speed) == (
        "GPU: 1 TFLOP/s measured in bfloat16; training takes 1 GFLOP per example"
    )


def test_a_cpu_has_no_peak() -> None:
    assert measure_speed(nn.Linear(2, 2), torch.ones(2, 2), 1) is None
