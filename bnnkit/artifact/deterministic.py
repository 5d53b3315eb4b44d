"""Converts a stochastic file to the operators of a deterministic file.

The result computes the bits of the file with z = 0. Plans, rewrites and converters use it, so they
need not handle noise.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators import gives_sums_of_channels, is_sampled
from bnnkit.errors import ArtifactError

Array = NDArray[Any]

_LARGEST_SUM = 2**24


def is_stochastic(model: onnx.ModelProto) -> bool:
    """Return whether a file holds noise of its signs or draws of its weights."""
    return any(is_sampled(node) for node in model.graph.node)


def derandomized(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network of a stochastic file with z = 0 and maximum-probability weights.

    The sign of an integer sum becomes a threshold, fused into the binary convolution before it if
    nothing else reads the sum; a pool between the two moves after the sign. Every other sign
    becomes `Sign`, after an `Add` unless t is 0. Signs keep their names. The inputs that choose
    random numbers are removed.

    Args:
        model: A stochastic artifact; it is not changed.

    Returns:
        A new model without function bodies, for readers that know bnnkit's operators.

    Raises:
        ArtifactError: If a threshold or a stored draw of weights is not a constant.
    """
    return Derandomizer(model).model()


def _is(node: onnx.NodeProto | None, *op_types: str, domain: str = DOMAIN) -> bool:
    return node is not None and node.domain == domain and node.op_type in op_types


class Derandomizer:
    """Builds the deterministic model.

    Args:
        model: The stochastic artifact.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self._source = model
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._types = {value.name: value for value in (*graph.value_info, *graph.output)}
        self._producers = {name: node for node in graph.node for name in node.output}
        self._uses = Counter(name for node in graph.node for name in node.input)
        self._uses.update(value.name for value in graph.output)
        kept = (node for node in graph.node if not is_sampled(node))
        # Thresholds, tables and draws are removed, so their names are free.
        self._names = {*self._producers, *(name for node in kept for name in node.input)}
        self._new: dict[str, onnx.TensorProto] = {}
        self._weights: dict[str, str] = {}

    def model(self) -> onnx.ModelProto:
        """Build the deterministic model."""
        plain = onnx.ModelProto()
        plain.CopyFrom(self._source)
        graph = plain.graph
        nodes = [new for node in list(graph.node) for new in self._translated(node)]
        nodes = _alive(nodes, {value.name for value in graph.output})
        used = {name for node in nodes for name in node.input}
        used |= {value.name for value in graph.output}  # one can be a constant
        _fill(graph.node, nodes)
        constants = {**self._constants, **self._new}
        _fill(graph.initializer, [t for name, t in constants.items() if name in used])
        _fill(graph.input, [v for v in graph.input if v.name not in self._constants])
        made = {name for node in nodes for name in node.output}
        _fill(graph.value_info, [v for name, v in self._types.items() if name in made])
        _fill(plain.functions, [])
        for entry in plain.metadata_props:
            if entry.key == f"{DOMAIN}.mode":
                entry.value = "deterministic"
        return plain

    def _translated(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        for index, name in enumerate(node.input):
            node.input[index] = self._weights.get(name, name)
        if _is(node, "WeightDraw"):
            most_probable = self._array(node, 0)[0]
            self._weights[node.output[0]] = self._constant(node.input[0], most_probable)
        elif _is(node, "StochasticSign"):
            yield from self._sign(node)
        else:
            yield node

    def _sign(self, sign: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Yield the nodes that replace a `StochasticSign`."""
        value, pools = sign.input[0], list[onnx.NodeProto]()
        while (pool := self._pool(value)) is not None:
            pools.append(pool)
            value = pool.input[0]
        layer = self._layer(value)
        if layer is None or (pools and self._uses[value] > 1):
            yield from self._real_sign(sign)
            return
        target = sign.output[0]
        moved = []
        for pool in pools:
            source = self._free(f"{target}/unpooled")
            moved.append(_copy(pool, name=pool.name, source=source, target=target))
            target = source
        if pools:
            self._record_type(target, like=value)
        yield self._threshold(sign, layer, value, target)
        yield from reversed(moved)

    def _pool(self, value: str) -> onnx.NodeProto | None:
        """Return the pool that computes a value, if the value has a single reader."""
        node = self._producers.get(value)
        is_pool = _is(node, "MaxPool", domain="") and self._uses[value] == 1
        return node if is_pool and node is not None and len(node.output) == 1 else None

    def _layer(self, value: str) -> onnx.NodeProto | None:
        """Return the layer whose integer sum, cast to a real number, is the value."""
        cast = self._producers.get(value)
        if cast is None or not _is(cast, "Cast", domain=""):
            return None
        layer = self._producers.get(cast.input[0])
        return layer if layer is not None and gives_sums_of_channels(layer) else None

    def _threshold(
        self, sign: onnx.NodeProto, layer: onnx.NodeProto, value: str, target: str
    ) -> onnx.NodeProto:
        """Make the sign of a sum a threshold: for integers c, c >= t is c >= ceil(t)."""
        largest = _largest_sum(layer)
        real = np.clip(np.ceil(self._array(sign, 1)), -largest, largest + 1)
        limit = real.astype(np.int32)
        alone = self._uses[value] == 1 and self._uses[layer.output[0]] == 1
        if layer.op_type == "BinaryConv2d" and alone:
            fused = _copy(layer, name=layer.name, source=layer.input[0], target=target)
            fused.op_type = "BinaryConv2dThreshold"
            weight = layer.input[1]
            fused.input[1] = self._weights.get(weight, weight)
            fused.input.append(self._constant(f"{sign.name}.threshold", limit.reshape(-1)))
            return fused
        column = self._constant(f"{sign.name}.threshold", limit)
        inputs = [layer.output[0], column]
        return helper.make_node("Threshold", inputs, [target], sign.name, domain=DOMAIN)

    def _real_sign(self, sign: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Make the sign of a real number a `Sign`: for floats, x >= t is x - t >= 0."""
        value, limit = sign.input[0], self._array(sign, 1)
        if limit.any():
            shift = self._constant(f"{sign.name}.shift", -limit)
            shifted = self._free(f"{sign.name}/Add/output")
            self._record_type(shifted, like=value, element=onnx.TensorProto.FLOAT)
            yield helper.make_node("Add", [value, shift], [shifted], f"{sign.name}/Add")
            value = shifted
        yield helper.make_node("Sign", [value], list(sign.output), sign.name, domain=DOMAIN)

    def _array(self, node: onnx.NodeProto, index: int) -> Array:
        tensor = self._constants.get(node.input[index])
        if tensor is None:
            raise ArtifactError(
                f"expected a constant as input {index} of {node.op_type} {node.name!r}, got a"
                " computed value: export the file again"
            )
        return numpy_helper.to_array(tensor)

    def _constant(self, name: str, content: Array) -> str:
        free = self._free(name)
        self._new[free] = numpy_helper.from_array(np.ascontiguousarray(content), free)
        return free

    def _record_type(self, name: str, *, like: str, element: int = onnx.TensorProto.UINT8) -> None:
        """Record the type of a new value if that of a similar one is known."""
        known = self._types.get(like)
        if known is not None:
            info = onnx.ValueInfoProto()
            info.CopyFrom(known)
            info.name, info.type.tensor_type.elem_type = name, element
            self._types[name] = info

    def _free(self, name: str) -> str:
        """Return an unused name: `name`, or `name#2` and so on."""
        free, number = name, 2
        while free in self._names:
            free, number = f"{name}#{number}", number + 1
        self._names.add(free)
        return free


def _largest_sum(layer: onnx.NodeProto) -> int:
    """Return an upper bound of the absolute sums of a layer."""
    for attribute in layer.attribute:
        if attribute.name == "weight_shape":
            return int(np.prod(attribute.ints[1:], dtype=np.int64))
    return _LARGEST_SUM


def _copy(node: onnx.NodeProto, *, name: str, source: str, target: str) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name, copy.input[0], copy.output[0] = name, source, target
    return copy


def _alive(nodes: list[onnx.NodeProto], needed: set[str]) -> list[onnx.NodeProto]:
    """Return the nodes that the needed values depend on, in order."""
    needed, kept = set(needed), list[onnx.NodeProto]()
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]


def _fill(field: Any, items: list[Any]) -> None:
    """Replace the items of a repeated field."""
    del field[:]
    field.extend(items)
