"""Optimizers that a function of the user's own makes."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bnnkit.data.own_code import call_own, named
from bnnkit.errors import ConfigError, brief


def make_own(
    name: str,
    groups: Sequence[dict[str, Any]],
    *,
    options: dict[str, Any],
    lr: float,
    momentum: float,
) -> torch.optim.Optimizer:
    """Make an optimizer with a function of your own.

    Args:
        name: "module:function", or a class of the module. It gets `params`, the groups in the form
            that torch's optimizers take, the options, and those of `lr` and `momentum` that it has
            parameters for. It returns the optimizer of all these parameters. The learning rate
            that it gives a group is the peak of the schedule.
        groups: Dicts with the keys params and weight_decay.
        options: The function's own keyword arguments.
        lr: The peak learning rate of the configuration.
        momentum: The momentum of the configuration.

    Raises:
        ConfigError: The function is not trusted, fails, or returns no such optimizer, or one whose
            step needs the loss as a function.
    """
    given = {"params": [dict(group) for group in groups], **options}
    optimizer = call_own(name, given, {"lr": lr, "momentum": momentum})
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ConfigError(
            f"expected {name} to return a torch.optim.Optimizer, got {brief(optimizer)}"
        )
    _check_parameters(name, optimizer, groups)
    _check_step(name, optimizer)
    for group in optimizer.param_groups:
        rate = group.get("lr")
        if not isinstance(rate, int | float | Tensor):
            raise ConfigError(
                f"expected the optimizer of {name} to have learning rates lr, got {brief(rate)}"
            )
        group["peak_lr"] = float(rate)
    return optimizer


def _check_parameters(
    name: str, optimizer: torch.optim.Optimizer, groups: Sequence[dict[str, Any]]
) -> None:
    expected = {id(parameter) for group in groups for parameter in group["params"]}
    found = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if found != expected:
        raise ConfigError(
            f"expected the optimizer of {name} to have all {len(expected)} parameters in params "
            f"and no others, got {len(found & expected)} of them and {len(found - expected)} "
            "others"
        )


def _check_step(name: str, optimizer: torch.optim.Optimizer) -> None:
    with named(name):
        parameters = inspect.signature(optimizer.step).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]
    if needed:
        raise ConfigError(
            f"expected an optimizer of {name} whose step() needs no arguments, got "
            f"{type(optimizer).__name__}, whose step needs {', '.join(needed)}"
        )
