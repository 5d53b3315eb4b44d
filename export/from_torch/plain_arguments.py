"""The model and the example of an export, from what users have: wrappers, tuples, arrays."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from bnnkit.errors import UsageError


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


def plain_inputs(inputs: Any, what: str) -> Tensor:
    """Inputs as a tensor: a tensor, a NumPy array, or one of them in a tuple.

    Args:
        inputs: What the user gave.
        what: Its name for error messages, with an article.

    Raises:
        UsageError: It is something else, has several tensors, or is a masked array.
    """
    if isinstance(inputs, tuple | list) and len(inputs) == 1:
        inputs = inputs[0]
    if isinstance(inputs, tuple | list | dict):
        raise UsageError(
            f"expected {what} of one tensor, got {len(inputs)} in a {type(inputs).__name__}: the"
            " network of a file has one input"
        )
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
