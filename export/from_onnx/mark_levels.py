"""Values of 3 to 16 equally spaced numbers become the mark `Quantize`, times their step.

1. A value that elementwise operators compute from one real value x (`piecewise`), that only binary
   layers read, and that takes 3 to 16 equally spaced numbers in ascending or descending order of
   x, is found in whatever operators it is written: QONNX's `Quant`, `QuantizeLinear` and
   `DequantizeLinear`, rounding and clipping, or a sum of comparisons.
2. The thresholds are the first x of each number, found by bisection on the source itself.
   A value that descends with x is one that ascends with -x.
3. If the numbers are integers times a step, or odd integers times half a step, rounded once, the
   mark gives these integers, and a `Mul` by the step follows, which `move_scales.py` moves on. Any
   others are the mark's scale and shift.
4. What a straight-through estimator leaves, as in x + (q - x), is rounded in the source. The
   deviation is measured, as for signs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.export.from_onnx.differences import LostRounding
from bnnkit.export.from_onnx.mark_weights import feeds_binary_layers
from bnnkit.export.from_onnx.piecewise.elementwise import is_elementwise
from bnnkit.export.from_onnx.piecewise.float32_line import from_ordinal
from bnnkit.export.from_onnx.piecewise.piece import Constant, Piece, UnknownFunctionError
from bnnkit.export.from_onnx.piecewise.pieces import pieces
from bnnkit.export.from_onnx.products import new_scale
from bnnkit.export.from_onnx.two_valued import (
    LARGEST_DEVIATION,
    deviation,
    is_plain,
    is_zero_too_often,
    sources,
)
from bnnkit.export.ir.graph import add_constant, module_path, parameter_name, real_node
from bnnkit.export.passes.clean_up import remove_dead

Array = NDArray[np.float32]
_FEWEST: Final = 3
_MOST: Final = 16
_TOLERANCE: Final = 2.0**-20
"""How far numbers may be from equal spacing, relative to the largest of them."""


@dataclass(frozen=True)
class _Levels:
    """A value of a few numbers.

    Attributes:
        x: The value that they depend on.
        numbers: The numbers by ascending x, float32 (L + 1,).
        first: The least x of each number but the first, float32 (L,).
        last: The greatest x of each number but the last, float32 (L,).
        deviation: The largest relative difference of the source from the numbers; 0 if it is
            exact.
    """

    x: ir.Value
    numbers: Array
    first: Array
    last: Array
    deviation: float


def mark_levels(graph: ir.Graph) -> tuple[LostRounding, ...]:
    """Run the pass; returns the values with the rounding of rule 4."""
    order = list(graph)
    position = {node: index for index, node in enumerate(order)}
    rounded: list[LostRounding] = []
    for node in reversed(order):
        if node.graph is not graph or not is_elementwise(node):
            continue
        value = node.outputs[0]
        if value.dtype != ir.DataType.FLOAT or not feeds_binary_layers(value):
            continue
        levels = _levels(value, position)
        if levels is not None:
            _replace(graph, value, levels)
            if levels.deviation > 0:
                rounded.append(LostRounding(module_path(node), levels.deviation))
            remove_dead(graph)
    return tuple(rounded[::-1])


def _levels(value: ir.Value, position: dict[ir.Node, int]) -> _Levels | None:
    """Rules 1 and 4; the nearest x comes first, unless it is computed by rounding itself."""
    best: _Levels | None = None
    for x in sources(value, position):
        if x.dtype != ir.DataType.FLOAT or x.shape != value.shape:
            continue
        try:
            best = _of_line(value, x, pieces(value, x)) or best
        except UnknownFunctionError:
            continue
        if best is not None and is_plain(best.x):
            break
    return best


def _of_line(value: ir.Value, x: ir.Value, line: list[Piece]) -> _Levels | None:
    contents = [piece.content for piece in line if isinstance(piece.content, Constant)]
    if len(contents) < len(line) or not _FEWEST <= len(line) <= _MOST:
        return None
    if len(line) == _FEWEST and contents[1].content == 0 and not is_zero_too_often(line):
        return None  # a sign, whose 0 is a single x
    numbers = np.array([content.content for content in contents], np.float32)
    largest = np.abs(numbers).max()
    gaps = np.diff(numbers.astype(np.float64))
    is_even = np.abs(gaps - gaps.mean()).max() <= _TOLERANCE * largest
    if not np.isfinite(numbers).all() or not is_even or gaps.mean() == 0:
        return None
    lost = 0.0
    if not all(content.is_exact for content in contents):
        lost = max(deviation(value, x, piece) for piece in line) / float(largest)
        if lost > LARGEST_DEVIATION:
            return None
    first = from_ordinal(np.array([piece.low for piece in line[1:]]))
    last = from_ordinal(np.array([piece.high for piece in line[:-1]]))
    return _Levels(x, numbers, first, last, lost)


def _replace(graph: ir.Graph, value: ir.Value, levels: _Levels) -> None:
    """Rules 2 and 3."""
    source = value.producer()
    assert source is not None  # only outputs of nodes are examined
    x, thresholds, numbers = levels.x, levels.first, levels.numbers
    new: list[ir.Node] = []
    if numbers[0] > numbers[-1]:
        new.append(real_node("Neg", [x], source, x.shape))
        x, thresholds, numbers = new[0].outputs[0], -levels.last[::-1], numbers[::-1]
    scale, shift, step = _affine(numbers)
    limits = add_constant(graph, parameter_name(source, "thresholds"), thresholds)
    attributes = {"scale": scale, "shift": shift}
    mark = real_node("Quantize", [x, limits], source, value.shape, DOMAIN, attributes)
    new.append(mark)
    if step != 1:
        new.append(new_scale(graph, mark.outputs[0], step, mark))
    graph.insert_before(source, new)
    value.replace_all_uses_with(new[-1].outputs[0], replace_graph_outputs=True)


def _affine(numbers: Array) -> tuple[float, float, np.float32]:
    """The scale and the shift of -L, -L + 2, .., L, and the step behind them."""
    count = len(numbers) - 1
    odd = np.arange(-count, count + 1, 2)
    gap = (float(numbers[-1]) - float(numbers[0])) / count
    first = round(float(numbers[0]) / gap)
    for scale, integers in ((0.5, first + np.arange(count + 1)), (1.0, odd)):
        step = _step(numbers, integers)
        if step is not None:
            return scale, float(integers[0] + scale * count), step
    middle = (float(numbers[-1]) + float(numbers[0])) / 2
    return float(np.float32(gap / 2)), float(np.float32(middle)), np.float32(1)


def _step(numbers: Array, integers: NDArray[np.int64]) -> np.float32 | None:
    """The float32 that gives all numbers by one rounded product with the integers."""
    for number, integer in zip(numbers, integers, strict=True):
        if integer:
            step = np.float32(number / np.float32(integer))
            if step > 0 and (step * integers.astype(np.float32) == numbers).all():
                return step
    return None
