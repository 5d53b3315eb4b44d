"""Functions on a graph or a model as passes of onnx_ir, which name the pass that fails."""

from collections.abc import Callable
from functools import partial
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from onnx_ir import Graph, Model
from onnx_ir.passes import InPlacePass, PassBase, PassError, PassResult, Sequential

from bnnkit.errors import BnnkitError

P = ParamSpec("P")
T = TypeVar("T")


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


class _ModelPass(PassBase):
    """A function from a model to a new one; `str` gives its name."""

    def __init__(self, name: str, function: Callable[[Model], Model]) -> None:
        self._name = name
        self._function = function

    def __str__(self) -> str:
        return self._name

    @property
    def in_place(self) -> Literal[False]:
        return False

    @property
    def changes_input(self) -> Literal[True]:
        return True

    def call(self, model: Model) -> PassResult:
        return PassResult(self._function(model), modified=True)


def graph_pass(function: Callable[..., Any], **options: object) -> PassBase:
    """The pass that calls `function(graph, **options)`, which changes the graph in place."""
    return _GraphPass(function.__name__, partial(function, **options))


def model_pass(function: Callable[..., Model], **options: object) -> PassBase:
    """The pass that calls `function(model, **options)`, which returns a new model."""
    return _ModelPass(function.__name__, partial(function, **options))


def run_pass(
    model: Model,
    function: Callable[Concatenate[Graph, P], T],
    *arguments: P.args,
    **options: P.kwargs,
) -> T:
    """Run one function on the graph of a model as a pass, and return its result.

    Raises:
        PassError: As `run_passes`.
        BnnkitError, MemoryError: As `run_passes`.
    """
    results: list[T] = []

    def call(graph: Graph) -> None:
        results.append(function(graph, *arguments, **options))

    run_passes(model, _GraphPass(function.__name__, call))
    return results[0]


def run_passes(model: Model, *passes: PassBase) -> Model:
    """Run passes one after the other and return the model after the last.

    Raises:
        PassError: A pass failed because of a fault of its own; the message names the pass.
        BnnkitError, MemoryError: A pass refused the model; raised as the pass raised it.
    """
    try:
        return Sequential(*passes)(model).model
    except PassError as error:
        if isinstance(error.__cause__, BnnkitError | MemoryError):
            raise error.__cause__ from None
        raise
