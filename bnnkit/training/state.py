"""The saved state of an unfinished run: everything needed to resume."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bnnkit.border import border
from bnnkit.errors import CheckpointError, brief
from bnnkit.training import safetensors_file

_MODEL, _OPTIMIZER, _AVERAGE = "model.", "optimizer.", "average."


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
    """
    tensors = {f"{_MODEL}{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"{_AVERAGE}{name}": tensor for name, tensor in (averages or {}).items()}
    for optimizer in optimizers:
        tensors |= _optimizer_tensors(model, optimizer)
    safetensors_file.write(path, tensors, {"epoch": epoch, "precision": precision})


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
        CheckpointError: The file is damaged, or of another model.
    """
    tensors, about = safetensors_file.read(path)
    with border(CheckpointError, path):
        epoch, precision = about.get("epoch"), about.get("precision")
        if type(epoch) is not int or epoch < 0 or not isinstance(precision, dict):
            raise CheckpointError(f"{path} is not the state of a run: its epoch is {brief(epoch)}")
        _load(path, tensors, model, optimizers, averages or {})
        return epoch, precision


def _load(
    path: Path,
    tensors: dict[str, Tensor],
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    averages: Mapping[str, Tensor],
) -> None:
    own = {name: t for name, t in tensors.items() if not name.startswith(_OPTIMIZER)}
    expected = {f"{_MODEL}{name}": tensor for name, tensor in model.state_dict().items()}
    expected |= {f"{_AVERAGE}{name}": tensor for name, tensor in averages.items()}
    safetensors_file.check_fit(path, own, expected, "this run's model")
    model.load_state_dict({name: own[f"{_MODEL}{name}"] for name in model.state_dict()})
    for name, average in averages.items():
        average.copy_(own[f"{_AVERAGE}{name}"])
    _check_optimizers(path, model, tensors)
    for optimizer in optimizers:
        _fill_optimizer(model, optimizer, tensors)


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names = _names_in_order(model, optimizer)
    return {
        f"{_OPTIMIZER}{key}.{names[index]}": torch.as_tensor(value)
        for index, entry in optimizer.state_dict()["state"].items()
        for key, value in entry.items()
        if value is not None
    }


def _check_optimizers(path: Path, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Check that the state of the optimizers is of this model: numbers, or like a parameter."""
    known = dict(model.named_parameters())
    for full_name, tensor in tensors.items():
        if not full_name.startswith(_OPTIMIZER):
            continue
        name = _split(full_name)[1]
        if name not in known or tensor.shape not in ((), known[name].shape):
            raise CheckpointError(
                f"{path} does not fit this run's model: it has {full_name} {tuple(tensor.shape)}"
            )


def _fill_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    index_of = {name: index for index, name in enumerate(_names_in_order(model, optimizer))}
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


def _names_in_order(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """Return the parameters' names in the order in which the optimizer numbers them."""
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    return [name_of[id(p)] for group in optimizer.param_groups for p in group["params"]]
