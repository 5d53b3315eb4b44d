"""The model and the example of an export, from what users have: wrappers, tuples, arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from bnnkit.errors import UsageError
from bnnkit.nn.several_inputs import Tensors, in_order, names_of_arguments

_One = Tensor | NDArray[Any]
Example = _One | Sequence[_One] | Mapping[str, _One]
"""A batch of inputs: one array or tensor, or several in the order of `forward`, or by name."""


def plain_model(model: Any) -> nn.Module:
    """The network inside of `torch.compile`, `DataParallel` and averages of weights.

    Raises:
        UsageError: It is no module of torch, or a TorchScript module.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise UsageError(
            "expected a torch.nn.Module, got a TorchScript module; export the module that it was"
            " made from"
        )
    if not isinstance(model, nn.Module):
        raise UsageError(f"expected a torch.nn.Module, got {type(model).__name__}")
    inner = getattr(model, "_orig_mod", None)  # torch.compile
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel | AveragedModel):
        inner = model.module
    return model if inner is None else plain_model(inner)


def plain_inputs(inputs: Any, what: str, model: nn.Module) -> Tensors:
    """Inputs as a tensor, or as several by name.

    Args:
        inputs: What the user gave: a tensor, a NumPy array, or a tuple or dict of them. Those of
            a tuple get the names of the arguments of the model's `forward`.
        what: Its name for error messages, with an article.
        model: The model that takes them; several are in the order of its arguments.

    Raises:
        UsageError: It is something else, there are none, they have different numbers of rows, or
            one is a masked array.
    """
    if isinstance(inputs, tuple | list):
        if len(inputs) == 1:
            return _tensor(inputs[0], what)
        names = names_of_arguments(model, len(inputs))
        if len(names) < len(inputs):
            raise UsageError(
                f"expected {what} for the arguments of the model's forward"
                f" ({', '.join(names) or 'none'}), got {len(inputs)} in a"
                f" {type(inputs).__name__}"
            )
        inputs = dict(zip(names, inputs, strict=True))
    if not isinstance(inputs, Mapping):
        return _tensor(inputs, what)
    tensors = {str(name): _tensor(one, f"{what} of {name!r}") for name, one in inputs.items()}
    rows = {name: len(one) if one.dim() else 0 for name, one in tensors.items()}
    if len(set(rows.values())) != 1:
        counts = ", ".join(f"{name!r} has {count}" for name, count in rows.items()) or "none"
        raise UsageError(f"expected {what} with as many rows in each input, got {counts}")
    return {name: tensors[name] for name in in_order(model, tensors)}


def _tensor(inputs: Any, what: str) -> Tensor:
    if isinstance(inputs, np.ma.MaskedArray):
        raise UsageError(f"expected {what} without a mask, got a masked array; call .filled()")
    if isinstance(inputs, np.ndarray):
        try:
            return torch.from_numpy(np.array(inputs, order="C"))
        except TypeError as error:
            raise UsageError(f"expected {what} of uint8 or float32, got {inputs.dtype}") from error
    if not isinstance(inputs, Tensor):
        raise UsageError(f"expected {what} in a tensor, got {type(inputs).__name__}")
    return inputs
