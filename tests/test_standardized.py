"""Networks that standardise their inputs and targets with stored means and scales."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from bnnkit import data
from bnnkit.data.npz import from_arrays
from bnnkit.data.own_streams import from_torch_datasets
from bnnkit.errors import ConfigError
from bnnkit.models import Standardized
from bnnkit.training.build_model import build_model
from bnnkit.training.config import parse_config
from bnnkit.training.standardize import fill_in

RNG = np.random.default_rng(0)
SHAPES = [(7,), (3, 11), (2, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_means_and_scales_are_those_of_the_training_data(shape: Any, is_streamed: bool) -> None:
    # More than one batch, and a mean that is large beside the standard deviation.
    x = (1e4 + RNG.normal(size=(2300, *shape)) * 3).astype(np.float32)
    y = RNG.normal(5, 2, (2300, 2)).astype(np.float32)
    x[:, 0] = 7  # constant
    if is_streamed:
        parts = {"train": TensorDataset(torch.tensor(x), torch.tensor(y))}
        dataset: Any = from_torch_datasets("m", {**parts, "test": parts["train"]}, workers=0)
    else:
        arrays = {"x_train": x, "y_train": y, "x_test": x[:9], "y_test": y[:9]}
        dataset = from_arrays("m", arrays)
    network = Standardized(nn.Identity(), shape, 2, of_inputs=True, of_outputs=True)
    fill_in(network, dataset)
    axes = (0, *range(2, x.ndim))
    mean = x.mean(axis=axes, dtype=np.float64)
    std = x.std(axis=axes, dtype=np.float64)
    std[0] = 1
    assert network.mean is not None
    assert network.scale is not None
    assert network.output_mean is not None
    assert network.output_scale is not None
    assert network.mean.shape == (shape[0], *[1] * (len(shape) - 1))
    np.testing.assert_allclose(network.mean.flatten(), mean, rtol=1e-7)
    np.testing.assert_allclose(network.scale.flatten(), std, rtol=1e-6)
    np.testing.assert_allclose(network.output_mean, y.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(network.output_scale, y.std(axis=0), rtol=1e-5)


def test_the_network_inside_sees_standardised_numbers() -> None:
    seen = []

    class Inside(nn.Module):
        def forward(self, x: Any) -> Any:
            seen.append(x)
            return x[:, :2]

    network = Standardized(Inside(), (3,), 2, of_inputs=True, of_outputs=True)
    x = torch.tensor(RNG.normal(50, 10, (1000, 3)), dtype=torch.float32)
    y = np.zeros((1000, 2)) + RNG.normal(-3, 0.5, (1000, 2))
    arrays = {"x_train": x.numpy(), "y_train": y, "x_test": x.numpy(), "y_test": y}
    fill_in(network, from_arrays("m", arrays))
    outputs = network(x)
    np.testing.assert_allclose(seen[0].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(seen[0].std(0, unbiased=False), 1, atol=1e-5)
    np.testing.assert_allclose(outputs.mean(0), y.mean(axis=0), rtol=1e-5)


def test_only_what_is_asked_for_is_stored() -> None:
    digits = data.load("digits")
    values = from_arrays("m", {"x": RNG.normal(size=(30, 4)), "y": RNG.normal(size=30)})
    plain, inputs, both = (
        set(build_model(parse_config(f"model: {{name: mlp, width: 4{more}}}").model, values)
            .state_dict())
        for more in ("", ", standardize_inputs: true",
                     ", standardize_inputs: true, standardize_targets: true")
    )  # fmt: skip
    inside = {f"network.{name}" for name in plain}
    assert inputs == inside | {"mean", "scale"}
    assert both == inputs | {"output_mean", "output_scale"}
    with pytest.raises(ConfigError, match="standardize_inputs is for real inputs"):
        build_model(parse_config("model: {name: mlp, standardize_inputs: true}").model, digits)
