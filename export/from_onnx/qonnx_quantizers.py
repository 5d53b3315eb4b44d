"""The quantizers of QONNX become the standard operators that define them, exactly.

1. `BipolarQuant(x, s)` is s where x >= 0, and -s elsewhere.
2. `Quant` (or `IntQuant`) `(x, s, z, bits)` is s * (round(clip(x / s + z)) - z), with one float32
   rounding for each operation. `bits`, `signed` and `narrow` give the limits. If z is 0, it is not
   added.
3. A signed `Quant` of one bit is s * (+-1 - z), with the sign of x / s + z.
4. Rounding modes that ONNX does not have work on magnitudes: UP is sign(x) * ceil(|x|), DOWN is
   sign(x) * floor(|x|), HALF_UP is sign(x) * floor(|x| + 1/2), and HALF_DOWN is
   sign(x) * ceil(|x| - 1/2).
5. `Trunc(x, s, z, from_bits, to_bits)` is s * (round((rint(x / s + z)) / 2^(from_bits - to_bits))
   - z). With six inputs, `(x, s, z, from_bits, s', to_bits)`, it divides by t = 2^rint(log2(s' /
   s)), clips to the limits of `to_bits`, and is s' * (round(.) - z / t).

Source: https://github.com/fastmachinelearning/qonnx, docs/qonnx-custom-ops, and what its executor
computes.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.export.from_onnx.node_names import named
from bnnkit.export.ir.graph import (
    add_constant,
    array,
    module_path,
    operand,
    replace,
    set_module_path,
)

DOMAINS: Final = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
"""The current name of the domain, and the names in files of older Brevitas versions."""

_ROUNDINGS: Final = {
    "ROUND": ("Round", 0.0),
    "HALF_EVEN": ("Round", 0.0),
    "CEIL": ("Ceil", 0.0),
    "FLOOR": ("Floor", 0.0),
}
"""Rounding modes on values: the operator, and the number to add before it."""
_ROUNDINGS_OF_SIZES: Final = {
    "UP": ("Ceil", 0.0),
    "DOWN": ("Floor", 0.0),
    "HALF_UP": ("Floor", 0.5),
    "HALF_DOWN": ("Ceil", -0.5),
}
"""Rounding modes on magnitudes (rule 4): the operator, and the number to add before it."""


def lower_quantizers(graph: ir.Graph) -> None:
    """Run the pass.

    Raises:
        UnsupportedError: An operator is neither standard nor one of these, or its bits, zero
            point or rounding mode are not supported.
    """
    for node in list(graph):
        if node.domain == "":
            continue
        lower = _LOWERINGS.get(node.op_type) if node.domain in DOMAINS else None
        if lower is None:
            raise UnsupportedError(
                f"{named(node)} is of the domain {node.domain!r}; beside"
                f" ONNX's own operators bnnkit reads {', '.join(_LOWERINGS)} of QONNX"
            )
        replace(graph, node, list(lower(_Chain(graph, node))))


class _Chain:
    """The operators that replace a quantizer; each takes the result of the one before."""

    def __init__(self, graph: ir.Graph, source: ir.Node) -> None:
        self.source = source
        self._graph = graph
        self._value = operand(source, 0)
        self._nodes: list[ir.Node] = []

    def then(self, op_type: str, *others: ir.Value | None) -> None:
        """Append `op_type(value, *others)`."""
        self._append(op_type, [self._value, *others])

    def rounded(self, mode: str) -> None:
        """Append a rounding (rule 4)."""
        x = self._value
        is_of_sizes = mode in _ROUNDINGS_OF_SIZES
        op_type, shift = (_ROUNDINGS | _ROUNDINGS_OF_SIZES)[mode]
        if is_of_sizes:
            self.then("Abs")
        if shift:
            self.then("Add", self.constant(shift))
        self.then(op_type)
        if is_of_sizes:
            size = self._value
            self._append("Sign", [x])
            self.then("Mul", size)

    def signs(self) -> None:
        """Append operators that give +1 where the value is >= 0, and -1 elsewhere."""
        self.then("GreaterOrEqual", self.constant(0))
        self._append("Where", [self._value, self.constant(1), self.constant(-1)])

    def constant(self, number: float) -> ir.Value:
        """A float32 constant."""
        return self.constants(np.array(number, np.float32), str(number))

    def constants(self, content: NDArray[np.float32], name: str) -> ir.Value:
        """A float32 constant of this quantizer, with a name of its own."""
        full = f"{self.source.outputs[0].name}/{name}"
        return self._graph.initializers.get(full) or add_constant(self._graph, full, content)

    def __iter__(self) -> Iterator[ir.Node]:
        return iter(self._nodes)

    def _append(self, op_type: str, inputs: list[ir.Value | None]) -> None:
        number = sum(node.op_type == op_type for node in self._nodes)
        suffix = f"{op_type}#{number + 1}" if number else op_type
        node = ir.node(op_type, inputs, name=f"{self.source.name}/{suffix}")
        node.outputs[0].name = f"{self.source.outputs[0].name}/{suffix}"
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
    bits, signed = _bits(node, 3), node.attributes.get_int("signed", 1)
    if signed and bits == 1:
        chain.signs()
    else:
        low, high = _limits(bits, bool(signed), bool(node.attributes.get_int("narrow", 0)))
        chain.then("Clip", chain.constant(low), chain.constant(high))
        chain.rounded(_rounding(node, "ROUND"))
    if has_zero_point:
        chain.then("Sub", zero_point)
    chain.then("Mul", scale)
    return chain


def _known(node: ir.Node, index: int, what: str) -> NDArray[Any]:
    content = array(operand(node, index))
    if content is None:
        raise UnsupportedError(f"expected a constant {what} of {named(node)}, got a value")
    return content


def _bits(node: ir.Node, index: int) -> int:
    content = _known(node, index, "number of bits")
    if content.size != 1 or not 1 <= float(content.item()) <= 24 or content.item() % 1:
        raise UnsupportedError(f"expected 1 to 24 bits of {named(node)}, got {content.tolist()}")
    return int(content.item())


def _limits(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """The least and the greatest integer."""
    if signed:
        half = 1 << (bits - 1)
        return narrow - half, half - 1
    return 0, (1 << bits) - 1 - narrow


def _rounding(node: ir.Node, default: str) -> str:
    mode = node.attributes.get_string("rounding_mode", default).upper()
    known = _ROUNDINGS | _ROUNDINGS_OF_SIZES
    if mode not in known:
        raise UnsupportedError(
            f"expected {named(node)} to round by {', '.join(known)}, got {mode!r}"
        )
    return mode


def _trunc(chain: _Chain) -> _Chain:
    """Rule 5."""
    node = chain.source
    scale, zero_point = operand(node, 1), operand(node, 2)
    zero = _known(node, 2, "zero point")
    factor, new_scale = _truncated(node)
    chain.then("Div", scale)
    chain.then("Add", zero_point)
    chain.then("Round")
    chain.then("Div", chain.constants(factor, "factor"))
    if new_scale is not None:
        signed = bool(node.attributes.get_int("signed", 1))
        narrow = bool(node.attributes.get_int("narrow", 0))
        low, high = _limits(_bits(node, 5), signed, narrow)
        chain.then("Clip", chain.constant(low), chain.constant(high))
        zero = (zero / factor).astype(np.float32)
    chain.rounded(_rounding(node, "FLOOR"))
    chain.then("Sub", chain.constants(zero, "zero"))
    chain.then("Mul", scale if new_scale is None else new_scale)
    return chain


def _truncated(node: ir.Node) -> tuple[NDArray[np.float32], ir.Value | None]:
    """The divisor of the integers, and the new scale; None if the scale stays."""
    if len(node.inputs) < _INPUTS_OF_TRUNC_2:
        return np.array(2.0 ** (_bits(node, 3) - _bits(node, 4)), np.float32), None
    scale, new_scale = _known(node, 1, "scale"), _known(node, 4, "scale")
    with np.errstate(all="ignore"):  # refused below
        factor = (2 ** np.round(np.log2(new_scale / scale))).astype(np.float32)
    if not (np.isfinite(factor) & (factor > 0)).all():
        raise UnsupportedError(f"expected positive scales of {named(node)}")
    return factor, operand(node, 4)


_INPUTS_OF_TRUNC_2: Final = 6
_LOWERINGS: Final[dict[str, Callable[[_Chain], _Chain]]] = {
    "BipolarQuant": _bipolar,
    "Quant": _quant,
    "IntQuant": _quant,
    "Trunc": _trunc,
}
