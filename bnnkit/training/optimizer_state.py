"""The state of an optimizer of any kind, as tensors and numbers by the parameters' names.

The states of the optimizers that a configuration names are known (`state.py` checks them). One
that a function of the user's own makes may keep other tensors, and numbers, of each parameter, and
numbers of its groups, such as a count of steps.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from bnnkit.errors import CheckpointError, ConfigError, brief

NUMBERS: Final = "numbers"
"""The numbers of each parameter, by the names that tensors have in the file."""
GROUPS: Final = "groups"
"""The numbers of each group of parameters: a list for each optimizer."""
_SET_BY_THE_RUN: Final = ("lr", "peak_lr")


def is_known(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether an optimizer keeps what torch's Adam, AdamW or SGD keeps."""
    kinds = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
    return type(optimizer) in kinds and not any(g.get("amsgrad") for g in optimizer.param_groups)


def names_in_order(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """Return the parameters' names in the order in which the optimizer numbers them."""
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    return [name_of[id(p)] for group in optimizer.param_groups for p in group["params"]]


def numbers_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the numbers that an optimizer keeps of its parameters, as KEY.NAME.

    Raises:
        ConfigError: It keeps values that are neither tensors nor numbers, or that belong to no
            parameter.
    """
    names = names_in_order(model, optimizer)
    found: dict[str, Any] = {}
    for index, entry in optimizer.state_dict()["state"].items():
        if type(index) is not int:
            raise ConfigError(
                "expected an optimizer whose state belongs to parameters or groups, got "
                f"{type(optimizer).__name__}, whose state has {brief(index)}; keep its numbers in "
                "param_groups"
            )
        for key, value in entry.items():
            if isinstance(value, Tensor):
                continue
            if not (value is None or _is_number(value)) or "." in str(key):
                raise ConfigError(
                    "expected an optimizer that keeps tensors and numbers of each parameter, got "
                    f"{type(optimizer).__name__}, which keeps {key}: {brief(value)}; the run "
                    "cannot be saved"
                )
            found[f"{key}.{names[index]}"] = value
    return found


def group_numbers(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Return the numbers of each group of parameters, which an optimizer may change in a step.

    Raises:
        ConfigError: A group has a tensor, which would not be saved.
    """
    for key, value in (item for group in optimizer.param_groups for item in group.items()):
        if isinstance(value, Tensor) and key not in _SET_BY_THE_RUN:
            raise ConfigError(
                f"expected an optimizer with numbers in its groups, got {type(optimizer).__name__}"
                f" with the tensor {key}; keep it in the state of a parameter"
            )
    return [
        {
            key: value
            for key, value in group.items()
            if key not in _SET_BY_THE_RUN and value is not None and _is_number(value)
        }
        for group in optimizer.param_groups
    ]


def restore(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor],
    numbers: Mapping[str, Any],
    groups: object,
) -> None:
    """Load the state of an optimizer whose kind is not known; tensors keep their dtype.

    Args:
        model: The model.
        optimizer: The optimizer of its parameters.
        tensors: The tensors of its parameters, as KEY.NAME.
        numbers: The numbers of its parameters, as KEY.NAME.
        groups: The value of `group_numbers`.

    Raises:
        CheckpointError: The numbers of the groups are not those of this optimizer, or a number of
            a parameter is none.
    """
    for full_name, number in numbers.items():
        if not (number is None or _is_number(number)):
            raise CheckpointError(f"expected a number as {full_name}, got {brief(number)}")
    index_of = {name: index for index, name in enumerate(names_in_order(model, optimizer))}
    state: dict[int, dict[str, Any]] = {}
    for full_name, value in {**tensors, **numbers}.items():
        key, _, name = full_name.partition(".")
        if name in index_of:
            state.setdefault(index_of[name], {})[key] = value
    current = optimizer.state_dict()["param_groups"]
    _check_groups(group_numbers(optimizer), groups)
    assert isinstance(groups, list)
    merged = [group | found for group, found in zip(current, groups, strict=True)]
    optimizer.load_state_dict({"state": state, "param_groups": merged})
    _keep_dtypes(optimizer, state)


def _keep_dtypes(optimizer: torch.optim.Optimizer, state: Mapping[int, dict[str, Any]]) -> None:
    """Undo the conversion to the parameter's dtype, which `load_state_dict` makes."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, entry in state.items():
        loaded = optimizer.state[parameters[index]]
        for key, value in entry.items():
            if isinstance(value, Tensor) and loaded[key].dtype != value.dtype:
                loaded[key] = value.to(loaded[key].device)


def _check_groups(own: Sequence[dict[str, Any]], found: object) -> None:
    fits = (
        isinstance(found, list)
        and len(found) == len(own)
        and all(isinstance(group, dict) for group in found)
        and all(
            group.keys() == expected.keys() and all(map(_is_number, group.values()))
            for group, expected in zip(found, own, strict=True)
        )
    )
    if not fits:
        raise CheckpointError(
            f"expected the numbers of the groups of this run's optimizer, such as "
            f"{brief(own[:1])}, got {brief(found)}"
        )


def _is_number(value: object) -> bool:
    return type(value) in (int, float, bool)
