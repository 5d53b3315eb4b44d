"""Networks with several inputs, which are given by the names of the arguments of `forward`."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

Tensors = Tensor | Mapping[str, Tensor]
"""The inputs of a network: a tensor (N, ...), or several by name."""


def called(network: nn.Module, inputs: Tensors) -> Any:
    """Return what a network gives for its inputs.

    Args:
        network: The network.
        inputs: One tensor, or several by name. They are given to the arguments of `forward` with
            these names; together, as a dict, if `forward` takes one argument of another name; else
            in their order.
    """
    if isinstance(inputs, Tensor):
        return network(inputs)
    positional, named = arguments(network, inputs)
    return network(*positional, **named)


def arguments(
    network: nn.Module, inputs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with which `called` calls a network, by position and by name."""
    parameters = _parameters(network)
    if takes_by_name(network, inputs):
        return (), {name: inputs[name] for name in in_order(network, inputs)}
    if len(parameters) == 1:
        ((name, parameter),) = parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
            return (), {name: dict(inputs)}
    return tuple(inputs.values()), {}


def takes_by_name(network: nn.Module, names: Iterable[str]) -> bool:
    """Return whether `forward` has arguments of these names."""
    parameters = _parameters(network)
    has_others = any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()
    )
    return has_others or parameters.keys() >= set(names)


def in_order(network: nn.Module, names: Iterable[str]) -> list[str]:
    """Return names in the order of the arguments of `forward`; others stay behind them."""
    places = {name: place for place, name in enumerate(_parameters(network))}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def names_of_arguments(network: nn.Module, count: int) -> tuple[str, ...]:
    """Return the names of the first arguments of `forward`; `args_0` and so on of `*args`.

    They are fewer than `count` if `forward` takes fewer.
    """
    names: list[str] = []
    for name, parameter in _parameters(network).items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            names += [f"{name}_{index}" for index in range(count - len(names))]
        elif parameter.kind not in (
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.VAR_KEYWORD,
        ):
            names.append(name)
    return tuple(names[:count])


def rows(inputs: Tensors, part: slice) -> Tensors:
    """Return some rows of the inputs."""
    if isinstance(inputs, Tensor):
        return inputs[part]
    return {name: tensor[part] for name, tensor in inputs.items()}


def each(inputs: Tensors) -> dict[str, Tensor]:
    """Return the inputs by name; a single one has the name ""."""
    return {"": inputs} if isinstance(inputs, Tensor) else dict(inputs)


def _parameters(network: nn.Module) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(network.forward).parameters
