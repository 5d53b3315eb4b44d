"""Public constructors get values of any type: they take them, or raise an error of bnnkit's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bnnkit.nn as bnn
from bnnkit.artifact.format.sample import Sample
from bnnkit.errors import BnnkitError
from bnnkit.export import Metadata
from bnnkit.runtime import EnsembleConfig

ODD: list[Any] = [
    *(None, "x", "3", -1, 0, 2.5, float("nan"), True, [], {}, (1,), [1, 2, 3], b"z", object()),
    *(np.int64(2), np.float32(2), torch.tensor(2), 10**30),
]
WEIGHTS: dict[str, Any] = {
    "weight_rule": "mirror-descent",
    "weight_rule_options": None,
    "noise": None,
    "scale": "none",
    "bias": False,
}
ONES = {"padding_value": "ones"}
WINDOW = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}


def binarized(**arguments: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Hardtanh(), nn.Linear(3, 2))
    before = list(model.state_dict())
    try:
        bnn.binarize_(model, **arguments)
    except BnnkitError:
        assert list(model.state_dict()) == before
        raise


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (bnn.BinaryLinear, {"in_features": 3, "out_features": 2, **WEIGHTS}),
        (bnn.BinaryConv2d, {"in_channels": 3, "out_channels": 2, **WINDOW, **WEIGHTS}),
        (
            bnn.BinaryConv2d,
            {**WINDOW, "in_channels": 1, "out_channels": 1, "padding_value": "ones"},
        ),
        (bnn.IntegerConv2d, {"in_channels": 1, "out_channels": 2, **WINDOW, "zero_point": [3]}),
        (bnn.IntegerLinear, {"in_features": 1, "out_features": 2, "zero_point": 3}),
        (bnn.Sign, {"noise": "logistic", "estimator": "st"}),
        (bnn.Sign, {"estimator": "gumbel-softmax", "temperature": 1.0}),
        (bnn.BinaryWeight, {"noise": "none", "rule": "mirror-descent", "options": None}),
        (bnn.Scaled, {"noise": bnn.Logistic(), "scale": 0.1}),
        (bnn.get_estimator, {"estimator": "st", "options": None}),
        (bnn.get_weight_rule, {"rule": "bop", "options": None}),
        (lambda scale: bnn.set_noise_scale(nn.Sequential(bnn.Sign()), scale), {"scale": 0.1}),
        (lambda p: bnn.set_progress(bnn.BinaryLinear(2, 2, weight_rule="adaste"), p), {"p": 0.1}),
        (EnsembleConfig, {"samples": "auto", "seed": 0, "antithetic": False, "error_rate": 0.1}),
        (EnsembleConfig, {"samples": 2, "max_samples": 10}),
        (Sample, {"seed": 0, "index": 0, "image_offset": 0, "antithetic": False}),
        (Metadata, {"classes": ("a",), "dataset": "x", "accuracy": 0.5, "outputs": ()}),
        (binarized, {"layers": ["2"], "signs": None, "noise": "none", "weight_noise": None}),
        (binarized, {"layers": ["2"], "estimator": "st", "weight_rule": "bop", "preset": None}),
        (binarized, {"layers": ["2"], "estimator_options": None, "weight_rule_options": None}),
    ],
)
def test_odd_values(make: Callable[..., Any], arguments: dict[str, Any]) -> None:
    make(**arguments)
    for name in arguments:
        for value in ODD:
            assert "\n" not in said(make, {**arguments, name: value})


def said(make: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """The message of bnnkit's error; "" without one."""
    try:
        make(**arguments)
    except BnnkitError as error:
        return str(error)
    return ""
