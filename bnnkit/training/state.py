"""The saved state of a run: everything needed to resume it, or to train more epochs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bnnkit.border import border
from bnnkit.errors import CheckpointError, brief
from bnnkit.training import safetensors_file
from bnnkit.training.optimizer_state import (
    GROUPS,
    NUMBERS,
    group_numbers,
    is_known,
    names_in_order,
    numbers_of,
    restore,
)

_MODEL, _OPTIMIZER, _AVERAGE = "model.", "optimizer.", "average."
_LEFT_OUT = "without"
"""Lists what an optimizer does not keep yet, of parameters that had no gradient so far."""


def save_state(
    path: Path,
    epoch: int,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    precision: dict[str, Any],
    *,
    averages: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the state after an epoch atomically.

    Args:
        path: The file.
        epoch: Number of epochs done.
        model: The model; its parameters and buffers are saved.
        optimizers: The optimizers; their state of each parameter is saved under its name.
        precision: The state of the loss scaling, numbers; empty without it.
        averages: The tensors of a moving average, by the parameter's name.

    Raises:
        FileError: The file cannot be written.
        ConfigError: As for `numbers_of` and `group_numbers`.
    """
    tensors = {f"{_MODEL}{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"{_AVERAGE}{name}": tensor for name, tensor in (averages or {}).items()}
    about: dict[str, Any] = {"epoch": epoch, "precision": precision}
    for optimizer in optimizers:
        if not is_known(optimizer):
            about.setdefault(NUMBERS, {}).update(numbers_of(model, optimizer))
            about.setdefault(GROUPS, []).append(group_numbers(optimizer))
            tensors |= _optimizer_tensors(model, optimizer)
            continue
        kept = _optimizer_tensors(model, optimizer)
        tensors |= kept
        if left_out := _expected_of(model, optimizer).keys() - kept.keys():
            about[_LEFT_OUT] = sorted([*about.get(_LEFT_OUT, ()), *left_out])
    safetensors_file.write(path, tensors, about)


def load_state(
    path: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    *,
    averages: Mapping[str, Tensor] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Load a saved state into the model, the optimizers and the tensors of a moving average.

    Returns:
        The number of epochs done, and the state of the loss scaling.

    Raises:
        CheckpointError: The file is damaged, lacks a tensor, or is of another model or optimizer.
    """
    tensors, about = safetensors_file.read(path)
    with border(CheckpointError, path):
        epoch, precision = about.get("epoch"), about.get("precision")
        if type(epoch) is not int or epoch < 0 or not isinstance(precision, dict):
            raise CheckpointError(f"{path} is not the state of a run: its epoch is {brief(epoch)}")
        _check(path, tensors, model, optimizers, averages or {}, about.get(_LEFT_OUT, []))
        _load(tensors, model, optimizers, averages or {})
        _load_unknown(tensors, about, model, [o for o in optimizers if not is_known(o)])
        return epoch, precision


def _check(
    path: Path,
    tensors: Mapping[str, Tensor],
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    averages: Mapping[str, Tensor],
    left_out: object,
) -> None:
    """Check that a file has the tensors of the model and of its optimizers, and no others."""
    own = {name: t for name, t in tensors.items() if not name.startswith(_OPTIMIZER)}
    expected = {f"{_MODEL}{name}": tensor for name, tensor in model.state_dict().items()}
    expected |= {f"{_AVERAGE}{name}": tensor for name, tensor in averages.items()}
    safetensors_file.check_fit(path, own, expected, "this run's model")
    kept: dict[str, Tensor] = {}
    free: set[str] = set()
    for optimizer in optimizers:
        if is_known(optimizer):
            kept |= _expected_of(model, optimizer)
        else:
            free.update(names_in_order(model, optimizer))
    if not isinstance(left_out, list) or not all(name in kept for name in left_out):
        raise CheckpointError(f"{path}: expected names of tensors in its list {_LEFT_OUT!r}")
    expected = {name: tensor for name, tensor in kept.items() if name not in left_out}
    others = {
        name: tensor
        for name, tensor in tensors.items()
        if name not in own and _split(name)[1] not in free
    }
    safetensors_file.check_fit(path, others, expected, "this run's optimizers")


def _load(
    tensors: dict[str, Tensor],
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    averages: Mapping[str, Tensor],
) -> None:
    model.load_state_dict({name: tensors[f"{_MODEL}{name}"] for name in model.state_dict()})
    for name, average in averages.items():
        average.copy_(tensors[f"{_AVERAGE}{name}"])
    for optimizer in optimizers:
        if is_known(optimizer):
            _fill_optimizer(model, optimizer, tensors)


def _load_unknown(
    tensors: Mapping[str, Tensor],
    about: Mapping[str, Any],
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
) -> None:
    """Load the states of optimizers that a function of the user's own has made."""
    if not optimizers:
        return
    numbers, groups = about.get(NUMBERS), about.get(GROUPS)
    if not isinstance(numbers, dict) or not isinstance(groups, list):
        raise CheckpointError(f"expected the numbers of an optimizer, got {brief(numbers)}")
    if len(groups) != len(optimizers):
        raise CheckpointError(f"expected {len(optimizers)} optimizers, got {len(groups)}")
    kept = {
        name.removeprefix(_OPTIMIZER): tensor
        for name, tensor in tensors.items()
        if name.startswith(_OPTIMIZER)
    }
    for optimizer, of_groups in zip(optimizers, groups, strict=True):
        restore(model, optimizer, kept, numbers, of_groups)


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names = names_in_order(model, optimizer)
    return {
        f"{_OPTIMIZER}{key}.{names[index]}": value
        for index, entry in optimizer.state_dict()["state"].items()
        for key, value in entry.items()
        if isinstance(value, Tensor)
    }


def _expected_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return tensors like those that an optimizer keeps for each parameter after a step."""
    names = iter(names_in_order(model, optimizer))
    return {
        f"{_OPTIMIZER}{key}.{name}": tensor
        for group in optimizer.param_groups
        for parameter, name in zip(group["params"], names, strict=False)
        if parameter.requires_grad
        for key, tensor in _kept(optimizer, group, parameter).items()
    }


def _kept(
    optimizer: torch.optim.Optimizer, group: Mapping[str, Any], parameter: Tensor
) -> dict[str, Tensor]:
    """Return tensors like those that an optimizer of `optimizers` keeps for a parameter."""
    like = torch.empty_like(parameter, device="meta")
    if isinstance(optimizer, torch.optim.SGD):
        return {"momentum_buffer": like} if group["momentum"] else {}
    step = torch.empty((), dtype=torch.float32, device="meta")
    return {"step": step, "exp_avg": like, "exp_avg_sq": like}


def _fill_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    index_of = {name: index for index, name in enumerate(names_in_order(model, optimizer))}
    state: dict[int, dict[str, Tensor]] = {}
    for full_name, tensor in tensors.items():
        if full_name.startswith(_OPTIMIZER):
            key, name = _split(full_name)
            if name in index_of:
                state.setdefault(index_of[name], {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _split(full_name: str) -> tuple[str, str]:
    """Split a name into the key of the optimizer's state and the parameter's name."""
    key, _, name = full_name.removeprefix(_OPTIMIZER).partition(".")
    return key, name
