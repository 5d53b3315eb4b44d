"""ONNX's inference of shapes, on a copy of a model without its weights.

The inference serializes the model several times, which takes seconds for 100 MB. It reads the
values of constants only where they are shapes, axes or pads, which are short.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import onnx
import onnx_ir as ir
from numpy.typing import NDArray

MOST_ELEMENTS: Final = 1024
"""Constants with more elements are weights."""


@contextmanager
def without_weights(graph: ir.Graph) -> Iterator[Mapping[str, ir.TensorProtocol]]:
    """Take the weights out of a graph while the context lasts, and yield them by name.

    In their place are tensors of the same types and shapes without data, which serialize to a
    reference to a file that does not exist.
    """
    tensors = {name: value.const_value for name, value in graph.initializers.items()}
    weights = {name: t for name, t in tensors.items() if t is not None and t.size > MOST_ELEMENTS}
    try:
        for name, tensor in weights.items():
            graph.initializers[name].const_value = _without_data(tensor)
        yield weights
    finally:
        put_weights(graph, weights)


def without_large_data(array: NDArray[Any], name: str) -> onnx.TensorProto:
    """A constant for the inference: with its numbers if they are few."""
    tensor = ir.Tensor(array, name=name)
    return ir.to_proto(tensor if array.size <= MOST_ELEMENTS else _without_data(tensor))


def put_weights(graph: ir.Graph, weights: Mapping[str, ir.TensorProtocol]) -> None:
    """Put the weights into a graph that has been read from a copy without them."""
    for name, tensor in weights.items():
        graph.initializers[name].const_value = tensor


def _without_data(tensor: ir.TensorProtocol) -> ir.ExternalTensor:
    shape = ir.Shape(tensor.shape.numpy())
    name = tensor.name or ""
    return ir.ExternalTensor("", 0, tensor.nbytes, tensor.dtype, shape=shape, name=name)
