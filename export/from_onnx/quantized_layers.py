"""ONNX's quantized operators become the real-valued operators that define them, exactly.

Quantized numbers are integers, which float32 holds exactly below 2^24. Signs among them are then
recognised like any others.

1. `QuantizeLinear(x, s, z)` is clip(round(x / s) + z), and `DequantizeLinear(q, s, z)` of that is
   (q - z) * s; s and z are one constant number each.
2. `MatMulInteger` and `ConvInteger` are `MatMul` and `Conv` of the differences from the zero
   points; the weights are constant.
3. `QLinearMatMul` and `QLinearConv` are the same, multiplied by s_x * s_w / s_y in float32, and
   quantized as in rule 1.
4. An operator stays if its sums can reach 2^24.
5. The integers are still there, by a `Cast`, for any other operator.
"""

from collections.abc import Callable
from math import prod
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.export.ir.graph import (
    add_constant,
    array,
    cast_to_real,
    module_path,
    new_node,
    operand,
    parameter_name,
    real_node,
    set_module_path,
)
from bnnkit.export.passes.clean_up import remove_dead

Array = NDArray[Any]
_MOST: Final = 2**24
_LARGEST_CODE: Final = 255
"""The largest difference of an 8-bit number from its zero point."""


def lower_quantized_layers(graph: ir.Graph) -> None:
    """Run the pass."""
    integers = _Integers(graph)
    for node in list(graph):
        if node.domain == "" and node.op_type in _LOWERINGS:
            _LOWERINGS[node.op_type](integers, node)
    remove_dead(graph)


class _Integers:
    """Replaces integers by real numbers, and keeps which real number stands for which integer."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self._reals: dict[ir.Value, ir.Value] = {}

    def known(self, value: ir.Value) -> ir.Value | None:
        """The real numbers that an integer was rounded from; None if it is another integer."""
        return self._reals.get(value)

    def real(self, value: ir.Value, node: ir.Node) -> ir.Value:
        """The real numbers of an integer."""
        if value not in self._reals:
            cast = cast_to_real(value, node)
            self.graph.insert_before(node, cast)
            self._reals[value] = cast.outputs[0]
        return self._reals[value]

    def apply(self, op_type: str, x: ir.Value, number: Array, node: ir.Node) -> ir.Value:
        """Insert `op_type(x, number)` before a node; x itself if that changes nothing."""
        if (number == _NEUTRAL[op_type]).all():
            return x
        return self.insert(op_type, [x, self._constant(number, node)], node)

    def insert(self, op_type: str, inputs: list[ir.Value], node: ir.Node) -> ir.Value:
        """Insert an operator of real numbers before a node, with its module."""
        attributes = node.attributes if op_type == "Conv" else None
        new = real_node(op_type, inputs, node, node.outputs[0].shape, "", attributes)
        self.graph.insert_before(node, new)
        return new.outputs[0]

    def weights(self, content: Array, node: ir.Node) -> ir.Value:
        """Weights as a real constant."""
        return add_constant(self.graph, parameter_name(node, "weight"), content.astype("f"))

    def clipped(self, x: ir.Value, limits: tuple[int, int], node: ir.Node) -> ir.Value:
        """Insert a clipping to the numbers of a type."""
        low, high = (self._constant(np.array(limit), node) for limit in limits)
        return self.insert("Clip", [x, low, high], node)

    def replace(self, node: ir.Node, real: ir.Value, dtype: ir.DataType) -> None:
        """Replace the output of a node by the integers of a real value (rule 5)."""
        y = node.outputs[0]
        cast = new_node(
            "Cast", [real], source=node, dtype=dtype, shape=y.shape, attributes={"to": dtype}
        )
        cast.name = node.name
        set_module_path(cast, module_path(node))
        self.graph.insert_before(node, cast)
        self._reals[cast.outputs[0]] = real
        self._replace(node, cast.outputs[0])

    def replace_by_real(self, node: ir.Node, real: ir.Value) -> None:
        """Replace the output of a node by a real value."""
        self._replace(node, real)

    def _replace(self, node: ir.Node, value: ir.Value) -> None:
        node.outputs[0].replace_all_uses_with(value, replace_graph_outputs=True)
        self.graph.remove(node, safe=True)

    def _constant(self, number: Array, node: ir.Node) -> ir.Value:
        return add_constant(self.graph, parameter_name(node, "number"), number.astype("f"))


_NEUTRAL: Final = {"Sub": 0, "Add": 0, "Mul": 1, "Div": 1}
"""The number with which an operator changes nothing."""


def _number(node: ir.Node, index: int, default: float = 0) -> Array | None:
    """A constant input with one element, as (); None if it is another value."""
    if len(node.inputs) <= index or node.inputs[index] is None:
        return np.array(default)
    content = array(node.inputs[index])
    return None if content is None or content.size != 1 else content.reshape(())


def _quantize(integers: _Integers, node: ir.Node) -> None:
    """Rule 1."""
    scale, zero = _number(node, 1), _number(node, 2)
    x = operand(node, 0)
    if scale is None or zero is None or array(x) is not None or scale.dtype != np.float32:
        return
    named = node.attributes.get_int("output_dtype", 0) or int(ir.DataType.UINT8)
    has_zero = len(node.inputs) > 2 and node.inputs[2] is not None
    dtype = ir.DataType.from_numpy(zero.dtype) if has_zero else ir.DataType(named)
    if dtype in _LIMITS:
        real = _rounded(integers, integers.apply("Div", x, scale, node), zero, dtype, node)
        integers.replace(node, real, dtype)


def _rounded(
    integers: _Integers, x: ir.Value, zero: Array, dtype: ir.DataType, node: ir.Node
) -> ir.Value:
    rounded = integers.insert("Round", [x], node)
    shifted = integers.apply("Add", rounded, zero, node)
    return integers.clipped(shifted, _LIMITS[dtype], node)


_LIMITS: Final = {
    ir.DataType.INT8: (-128, 127),
    ir.DataType.UINT8: (0, 255),
    ir.DataType.INT16: (-(2**15), 2**15 - 1),
    ir.DataType.UINT16: (0, 2**16 - 1),
}


def _dequantize(integers: _Integers, node: ir.Node) -> None:
    """Rule 1."""
    real, scale, zero = integers.known(operand(node, 0)), _number(node, 1), _number(node, 2)
    if real is None or scale is None or zero is None or scale.dtype != np.float32:
        return
    difference = integers.apply("Sub", real, zero, node)
    integers.replace_by_real(node, integers.apply("Mul", difference, scale, node))


def _cast(integers: _Integers, node: ir.Node) -> None:
    """The `Cast` of integers to float32 gives the real numbers that they were."""
    real = integers.known(operand(node, 0))
    if real is not None and node.attributes["to"].as_int() == ir.DataType.FLOAT:
        integers.replace_by_real(node, real)


def _integer_layer(integers: _Integers, node: ir.Node) -> None:
    """Rule 2."""
    sums = _sums(integers, node, weight=1, zeros=(2, 3))
    if sums is not None:
        integers.replace(node, sums, ir.DataType.INT32)


def _quantized_layer(integers: _Integers, node: ir.Node) -> None:
    """Rule 3."""
    scales = [array(node.inputs[index]) for index in (1, 4, 6)]
    zero, of_x, of_w, of_y = array(node.inputs[7]), *scales
    if zero is None or of_x is None or of_w is None or of_y is None:
        return
    dtype = ir.DataType.from_numpy(zero.dtype)
    if max(of_x.size, of_y.size, zero.size) != 1 or dtype not in _LIMITS:
        return
    sums = _sums(integers, node, weight=3, zeros=(2, 5))
    if sums is None:
        return
    factor = of_x.reshape(()) * of_w / of_y.reshape(())
    if node.op_type == "QLinearConv" and factor.size > 1:
        weight = array(node.inputs[3])
        assert weight is not None  # `_sums` has read it
        factor = factor.reshape(-1, *[1] * (weight.ndim - 2))
    scaled = integers.apply("Mul", sums, factor.astype(np.float32), node)
    integers.replace(node, _rounded(integers, scaled, zero.reshape(()), dtype, node), dtype)


def _sums(
    integers: _Integers, node: ir.Node, weight: int, zeros: tuple[int, int]
) -> ir.Value | None:
    """The sums of a layer of integers as real numbers; None if they may not be exact.

    Args:
        integers: Where to insert the operators.
        node: The layer.
        weight: The place of the weights among its inputs.
        zeros: The places of the zero points of the input and of the weights.
    """
    x, of_x = operand(node, 0), _number(node, zeros[0])
    content, of_w, bias = (_constant(node, index) for index in (weight, zeros[1], 8))
    if of_x is None or content is None or of_w is None or bias is None:
        return None
    if array(x) is not None or content.ndim < 2:
        return None
    is_convolution = "Conv" in node.op_type
    if is_convolution and of_w.size > 1:
        of_w = of_w.reshape(-1, *[1] * (content.ndim - 1))
    differences = content.astype(np.int64) - of_w
    fan_in = prod(content.shape[1:]) if is_convolution else content.shape[-2]
    largest = fan_in * _LARGEST_CODE * np.abs(differences).max(initial=0)
    if largest + np.abs(bias.astype(np.int64)).max(initial=0) >= _MOST:  # rule 4
        return None
    real = integers.apply("Sub", integers.real(x, node), of_x, node)
    op_type = "Conv" if is_convolution else "MatMul"
    sums = integers.insert(op_type, [real, integers.weights(differences, node)], node)
    column = bias.reshape(-1, *[1] * (content.ndim - 2)) if bias.ndim else bias
    return integers.apply("Add", sums, column, node)


def _constant(node: ir.Node, index: int) -> Array | None:
    """A constant input; 0 if it is omitted, None if it is computed."""
    if len(node.inputs) <= index or node.inputs[index] is None:
        return np.array(0)
    return array(node.inputs[index])


_LOWERINGS: Final[dict[str, Callable[[_Integers, ir.Node], None]]] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "Cast": _cast,
    "MatMulInteger": _integer_layer,
    "ConvInteger": _integer_layer,
    "QLinearMatMul": _quantized_layer,
    "QLinearConv": _quantized_layer,
}
