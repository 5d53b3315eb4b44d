"""Functions on a graph as passes of onnx_ir, which name the pass that fails."""

from collections.abc import Callable
from functools import partial
from typing import Any

from onnx_ir import Graph, Model
from onnx_ir.passes import InPlacePass, PassBase, PassError, PassResult, Sequential

from bnnkit.errors import BnnkitError


class _GraphPass(InPlacePass):
    """A function on a graph; `str` gives its name, which `Sequential` puts into its errors."""

    def __init__(self, name: str, function: Callable[[Graph], Any]) -> None:
        self._name = name
        self._function = function

    def __str__(self) -> str:
        return self._name

    def call(self, model: Model) -> PassResult:
        self._function(model.graph)
        return PassResult(model, modified=True)


def graph_pass(function: Callable[..., Any], **options: object) -> PassBase:
    """The pass that calls `function(graph, **options)`, which changes the graph in place."""
    return _GraphPass(function.__name__, partial(function, **options))


def run_passes(model: Model, *passes: PassBase) -> None:
    """Run passes one after the other.

    Raises:
        PassError: A pass failed because of a fault of its own; the message names the pass.
        BnnkitError, MemoryError: A pass refused the model; raised as the pass raised it.
    """
    try:
        Sequential(*passes)(model)
    except PassError as error:
        if isinstance(error.__cause__, BnnkitError | MemoryError):
            raise error.__cause__ from None
        raise
