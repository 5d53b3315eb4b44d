"""How the binary parts of a model are trained, in words."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from bnnkit.nn.binary_weight import BinaryWeight
from bnnkit.nn.sign import Sign


def choices(model: nn.Module) -> dict[str, str]:
    """The noises, estimators and weight rules of a model, by their names.

    Returns:
        "noise" and "estimator" where it has signs, "weight_noise" and "weight_rule" where it has
        binary weights; with options in brackets, such as "gumbel-softmax (temperature 0.5)", and
        several separated by commas.
    """
    signs = [module for module in model.modules() if isinstance(module, Sign)]
    weights = [module for module in model.modules() if isinstance(module, BinaryWeight)]
    found = {
        "noise": [sign.noise.name for sign in signs],
        "estimator": [_in_words(sign.estimator) for sign in signs],
        "weight_noise": [weight.noise.name for weight in weights],
        "weight_rule": [_in_words(weight.rule) for weight in weights],
    }
    return {key: _listed(names) for key, names in found.items() if names}


def _in_words(choice: Any) -> str:
    options = {
        key: value
        for key, value in vars(choice).items()
        if isinstance(value, int | float | str) and key != "training"
    }
    words = ", ".join(f"{key} {value}" for key, value in options.items())
    return f"{choice.name} ({words})" if words else str(choice.name)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
