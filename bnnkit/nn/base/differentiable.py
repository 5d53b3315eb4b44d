"""Functions with a backward pass of their own, at full speed and inside of `torch.func` too."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def with_context(function: type[Function]) -> type[Function]:
    """Return a function whose `forward` takes the context, as torch calls it fastest.

    Args:
        function: A function with a separate `setup_context`, as `torch.func` (`grad`, `vmap`, ...)
            needs it. A call of this form takes 20 us more.
    """

    def forward(ctx: Any, *inputs: Any) -> Any:
        output = function.forward(*inputs)
        function.setup_context(ctx, inputs, output)
        return output

    members = {"forward": staticmethod(forward), "backward": staticmethod(function.backward)}
    return type(f"{function.__name__}WithContext", (Function,), members)


def apply(function: type[Function], fast: type[Function], *inputs: Any) -> Tensor:
    """Apply a function: inside of `torch.func` itself, elsewhere its form `with_context`."""
    chosen = function if torch._C._are_functorch_transforms_active() else fast
    output: Tensor = chosen.apply(*inputs)  # type: ignore[no-untyped-call]
    return output
