"""A limit on the size of a network while it is built, for configurations from untrusted files."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from bnnkit.errors import CheckpointError

_GROWTH: Final = 4
"""Bytes of tensors for each byte of the file: some of them are not stored."""
GRACE_BYTES: Final = 64 << 20
OWN_GRACE_BYTES: Final = 2 << 30
"""For a trusted function: it may replace layers, such as the large ones of torchvision's VGG."""
_MODULES_PER_TENSOR: Final = 5
_GRACE_MODULES: Final = 500
_INPUTS_PER_BYTE: Final = 8
_GRACE_INPUTS: Final = 1 << 23
_TOO_LARGE: Final = "its configuration makes a network larger than the file"
_FACTORIES: Final = (
    torch.arange, torch.empty, torch.eye, torch.full, torch.linspace, torch.ones, torch.rand,
    torch.randint, torch.randn, torch.zeros,
)  # fmt: skip


def check_input_shape(shape: tuple[int, ...], file_bytes: int) -> None:
    """Check that inputs are no larger than a file of this size justifies, as for ONNX files.

    Raises:
        CheckpointError: If they are, or a size is not positive.
    """
    most = _INPUTS_PER_BYTE * file_bytes + _GRACE_INPUTS
    if min(shape, default=1) < 1 or prod(shape) > most:
        raise CheckpointError(
            f"expected an input shape of positive sizes and at most {most:,} numbers, got {shape}"
        )


class _LargestTensor(TorchFunctionMode):
    """Refuses factories of torch that would make a tensor of more bytes than a limit."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._most_bytes = most_bytes

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch; first on the device without memory, if it makes a tensor."""
        given = kwargs or {}
        if func in _FACTORIES:
            try:
                size = func(*args, **{**given, "device": "meta"}).nbytes
            except (RuntimeError, OverflowError, TypeError, ValueError) as error:
                if "overflow" in str(error).lower() or isinstance(error, OverflowError):
                    raise CheckpointError(_TOO_LARGE) from error  # more than torch can count
                raise
            if size > self._most_bytes:
                raise CheckpointError(_TOO_LARGE)
        return func(*args, **given)


@contextmanager
def size_limit(
    file_bytes: int, n_tensors: int, *, grace_bytes: int = GRACE_BYTES
) -> Iterator[None]:
    """Stop the building of a network that cannot be the one in a file, in this thread.

    A tensor of one of torch's factories, such as `torch.empty` and `torch.randn`, is measured
    before it is allocated, so that a size in a configuration takes no memory. Tensors are counted
    when modules register them. Others, such as the result of `repeat`, are not measured: the
    networks of bnnkit make their parameters by factories, and a network of your own that computes
    large tensors from its options has to limit these itself.

    Args:
        file_bytes: The size of the file.
        n_tensors: The number of tensors in it.
        grace_bytes: What the network's tensors may have beyond a multiple of the file's size.

    Raises:
        CheckpointError: If the network grows larger than the file allows.
    """
    thread, left = threading.get_ident(), _GROWTH * file_bytes + grace_bytes
    parts_left = _MODULES_PER_TENSOR * n_tensors + _GRACE_MODULES

    def count_tensor(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal left
        if tensor is not None and threading.get_ident() == thread:
            left -= tensor.numel() * tensor.element_size()
            if left < 0:
                raise CheckpointError(_TOO_LARGE)

    def count_module(module: nn.Module, name: str, part: nn.Module | None) -> None:
        nonlocal parts_left
        if threading.get_ident() == thread:
            parts_left -= 1
            if parts_left < 0:
                raise CheckpointError("its configuration makes more parts than the file has")

    with ExitStack() as stack:
        stack.enter_context(_LargestTensor(left))
        for handle in (
            hooks.register_module_parameter_registration_hook(count_tensor),
            hooks.register_module_buffer_registration_hook(count_tensor),
            hooks.register_module_module_registration_hook(count_module),
        ):
            stack.callback(handle.remove)
        yield
