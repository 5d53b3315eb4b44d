"""A description of how the binary parts of a model are trained."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from bnnkit.nn.binary_weight import BinaryWeight
from bnnkit.nn.sign import Sign


def choices(model: nn.Module) -> dict[str, str]:
    """Return the names of the noises, estimators and weight rules of a model.

    Returns:
        "noise" and "estimator" if the model has signs, "weight_noise" and "weight_rule" if it has
        binary weights. Options are in brackets, such as "gumbel-softmax (temperature 0.5)";
        several names are separated by commas.
    """
    signs = [module for module in model.modules() if isinstance(module, Sign)]
    weights = [module for module in model.modules() if isinstance(module, BinaryWeight)]
    found = {
        "noise": [sign.noise.name for sign in signs],
        "estimator": [_described(sign.estimator) for sign in signs],
        "weight_noise": [weight.noise.name for weight in weights],
        "weight_rule": [_described(weight.rule) for weight in weights],
    }
    return {key: _listed(names) for key, names in found.items() if names}


def _described(choice: Any) -> str:
    options = {
        key: value
        for key, value in vars(choice).items()
        if isinstance(value, int | float | str) and key != "training"
    }
    words = ", ".join(f"{key} {value}" for key, value in options.items())
    return f"{choice.name} ({words})" if words else str(choice.name)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
