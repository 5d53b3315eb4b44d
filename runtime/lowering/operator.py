"""Lowering of real-valued operators to NumPy, where no kernel has a form of them."""

from typing import Any

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.graph import Node
from bnnkit.runtime.lowering.draft import Draft
from bnnkit.runtime.operators import OPERATORS, arguments
from bnnkit.runtime.steps.real import Operator, Source
from bnnkit.runtime.values import Array, Value

DTYPES: dict[str, np.dtype[Any]] = {"signs": np.dtype(np.uint8), "sums": np.dtype(np.int32)}


def operator(draft: Draft, node: Node) -> None:
    """Append an operator in NumPy; the shape that it gives is learnt by running it on zeros."""
    function = OPERATORS[node.kind]
    sources = tuple(_source(draft, name) for name in node.inputs)
    samples = arguments([_sample(draft, source) for source in sources])
    try:
        with np.errstate(all="ignore"):  # the logarithm of zero is no one's mistake here
            result = function(node.attributes, *samples)
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise UnsupportedError(
            f"node {node.name!r} ({node.kind}) cannot be run: {error}"
        ) from error
    # Shapes have no batch: they are computed when the batch is known, not at every run.
    is_shape = node.kind == "Shape" or all(draft.kind(n) in ("shape", None) for n in node.inputs)
    step = Operator(
        name=node.name,
        sources=sources,
        target=node.outputs[0],
        function=function,
        attributes=node.attributes,
    )
    shape = result.shape if is_shape else result.shape[1:]
    draft.add(step, Value(kind="shape" if is_shape else "real", shape=shape, dtype=result.dtype))


def _source(draft: Draft, name: str) -> Source:
    if name not in draft.values:
        return draft.graph.constants.get(name)
    if draft.kind(name) == "signs":
        draft.signs(name)
    return name


def _sample(draft: Draft, source: Source) -> Array | None:
    """Zeros for a batch of one; a shape is what it is for that batch."""
    if not isinstance(source, str):
        return source
    value = draft.values[source]
    if value.kind == "shape":
        step = draft.steps[draft.position(source)]
        assert isinstance(step, Operator)  # shapes come from no other step
        samples = arguments([_sample(draft, name) for name in step.sources])
        shape: Array = step.function(step.attributes, *samples)
        return shape
    return np.zeros((1, *value.shape), DTYPES.get(value.kind, value.dtype))
