"""Networks that a function of the user's own makes."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from bnnkit.data.own_code import call_own
from bnnkit.errors import ConfigError, brief
from bnnkit.nn import connect_psa


def build_own(
    name: str,
    *,
    input_shape: Sequence[int],
    n_classes: int,
    zero_point: Sequence[int] | None,
    **options: Any,
) -> nn.Module:
    """Build a network with a function of your own; arguments as for `bnnkit.models.build`.

    Args:
        name: "module:function". The function gets the options, and those of `input_shape`,
            `n_classes` and `zero_point` that it has parameters for; it returns the network.
        input_shape: The shape of one input, channels first.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel for uint8 inputs; None for real inputs.
        options: The function's own keyword arguments.

    Raises:
        ConfigError: If the function is not trusted, fails, or returns no network.
    """
    inputs = {"input_shape": input_shape, "n_classes": n_classes, "zero_point": zero_point}
    network = call_own(name, options, inputs)
    if not isinstance(network, nn.Module):
        raise ConfigError(f"expected {name} to return a torch.nn.Module, got {brief(network)}")
    connect_psa(network)
    return network
