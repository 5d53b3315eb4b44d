"""The quantizers of QONNX become the standard operators that they stand for, exactly.

1. `BipolarQuant(x, s)` is s where x >= 0, and -s elsewhere.
2. `Quant` (or `IntQuant`) `(x, s, z, bits)` is s * (round(clip(x / s + z)) - z), one float32
   rounding an operation; the limits are those of the bits, `signed` and `narrow`. Where z is 0 it
   is not added.
3. A signed `Quant` of one bit is s * (+-1 - z) with the sign of x / s + z.

Source: https://github.com/fastmachinelearning/qonnx, docs/qonnx-custom-ops, and what its executor
computes.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.export.graph import array, module_path, operand, replace, set_module_path

DOMAINS: Final = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
"""Today's name of the domain, and those of older Brevitas."""

_ROUNDINGS: Final = {
    "ROUND": "Round",
    "HALF_EVEN": "Round",
    "CEIL": "Ceil",
    "FLOOR": "Floor",
}


def lower_quantizers(graph: ir.Graph) -> None:
    """Run the pass.

    Raises:
        UnsupportedError: An operator is neither of ONNX nor one of these, or its bits, zero point
            or way of rounding are none that are known.
    """
    for node in list(graph):
        if node.domain == "":
            continue
        lower = _LOWERINGS.get(node.op_type) if node.domain in DOMAINS else None
        if lower is None:
            raise UnsupportedError(
                f"node {node.name!r} is a {node.op_type} of the domain {node.domain!r}; beside"
                f" ONNX's own operators bnnkit reads {', '.join(_LOWERINGS)} of QONNX"
            )
        replace(graph, node, list(lower(_Chain(graph, node))))


class _Chain:
    """Operators in the place of a quantizer, each of the result of the one before."""

    def __init__(self, graph: ir.Graph, source: ir.Node) -> None:
        self.source = source
        self._graph = graph
        self._value = operand(source, 0)
        self._nodes: list[ir.Node] = []

    def then(self, op_type: str, *others: ir.Value | None) -> None:
        """Append `op_type(value, *others)`."""
        self._append(op_type, [self._value, *others])

    def signs(self) -> None:
        """Append +1 where the value is >= 0 and -1 elsewhere."""
        self.then("GreaterOrEqual", self.constant(0))
        self._append("Where", [self._value, self.constant(1), self.constant(-1)])

    def constant(self, number: float) -> ir.Value:
        """A float32 number."""
        name = f"{self.source.outputs[0].name}/{number}"
        known = self._graph.initializers.get(name)
        if known is not None:
            return known
        content = np.array(number, np.float32)
        value = ir.Value(
            name=name,
            type=ir.TensorType(ir.DataType.FLOAT),
            shape=ir.Shape(()),
            const_value=ir.Tensor(content, name=name),
        )
        self._graph.register_initializer(value)
        return value

    def __iter__(self) -> Iterator[ir.Node]:
        return iter(self._nodes)

    def _append(self, op_type: str, inputs: list[ir.Value | None]) -> None:
        node = ir.node(op_type, inputs, name=f"{self.source.name}/{op_type}")
        node.outputs[0].name = f"{self.source.outputs[0].name}/{op_type}"
        set_module_path(node, module_path(self.source))
        self._nodes.append(node)
        self._value = node.outputs[0]


def _bipolar(chain: _Chain) -> _Chain:
    """Rule 1."""
    chain.signs()
    chain.then("Mul", operand(chain.source, 1))
    return chain


def _quant(chain: _Chain) -> _Chain:
    """Rules 2 and 3."""
    node = chain.source
    scale, zero_point = operand(node, 1), operand(node, 2)
    has_zero_point = bool(np.any(_known(node, 2, "zero point") != 0))
    chain.then("Div", scale)
    if has_zero_point:
        chain.then("Add", zero_point)
    bits, signed = _bits(node), node.attributes.get_int("signed", 1)
    if signed and bits == 1:
        chain.signs()
    else:
        low, high = _limits(bits, bool(signed), bool(node.attributes.get_int("narrow", 0)))
        chain.then("Clip", chain.constant(low), chain.constant(high))
        chain.then(_rounding(node))
    if has_zero_point:
        chain.then("Sub", zero_point)
    chain.then("Mul", scale)
    return chain


def _known(node: ir.Node, index: int, what: str) -> NDArray[Any]:
    content = array(operand(node, index))
    if content is None:
        raise UnsupportedError(f"expected a constant {what} of node {node.name!r}, got a value")
    return content


def _bits(node: ir.Node) -> int:
    content = _known(node, 3, "number of bits")
    if content.size != 1 or not 1 <= float(content.item()) <= 24 or content.item() % 1:
        raise UnsupportedError(
            f"expected 1 to 24 bits of node {node.name!r} ({node.op_type}), got {content.tolist()}"
        )
    return int(content.item())


def _limits(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """The least and the greatest integer."""
    if signed:
        half = 1 << (bits - 1)
        return narrow - half, half - 1
    return 0, (1 << bits) - 1 - narrow


def _rounding(node: ir.Node) -> str:
    mode = node.attributes.get_string("rounding_mode", "ROUND")
    if not _ROUNDINGS.get(mode.upper()):
        raise UnsupportedError(
            f"expected node {node.name!r} ({node.op_type}) to round by ROUND, CEIL or FLOOR,"
            f" got {mode!r}"
        )
    return _ROUNDINGS[mode.upper()]


_LOWERINGS: Final[dict[str, Callable[[_Chain], _Chain]]] = {
    "BipolarQuant": _bipolar,
    "Quant": _quant,
    "IntQuant": _quant,
}
