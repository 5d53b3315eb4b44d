"""Sums of layers over the bit planes of activations: f_0 c_0 + f_1 c_1 + ..

The layers share their weights, and each c_j is an integer sum that was cast to float32. The total
is an integer below 2^24, which float32 holds exactly.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.export.analysis.integer_sums import largest_sums, sum_layer
from bnnkit.export.ir.graph import array, operand, produced_by


@dataclass(frozen=True)
class PlaneSum:
    """A sum of layers over bit planes, or of a single layer.

    Attributes:
        total: The value, float32.
        layers: The layers, which give int32 sums.
        factors: The positive integer by which each sum is multiplied.
    """

    total: ir.Value
    layers: tuple[ir.Node, ...]
    factors: tuple[int, ...]

    @property
    def bound(self) -> NDArray[np.int64]:
        """K, the largest absolute total of each output channel, (O,)."""
        return largest_sums(self.layers[0]) * sum(self.factors)


def plane_sum(value: ir.Value) -> PlaneSum | None:
    """The layers whose sums give a value; None if it is anything else."""
    layers: list[ir.Node] = []
    factors: list[int] = []
    rest: ir.Value | None = value
    while rest is not None:
        add = produced_by(rest, "Add")
        rest, last = (None, rest) if add is None else (operand(add, 0), operand(add, 1))
        layer, factor = _scaled_layer(last)
        if layer is None:
            return None
        layers.append(layer)
        factors.append(factor)
    if len({operand(layer, 1) for layer in layers}) > 1 or len({n.op_type for n in layers}) > 1:
        return None
    return PlaneSum(value, tuple(layers[::-1]), tuple(factors[::-1]))


def _scaled_layer(value: ir.Value) -> tuple[ir.Node | None, int]:
    """The layer behind `Mul(Cast(sum), factor)` or `Cast(sum)`, and the factor."""
    product, factor = produced_by(value, "Mul"), 1
    if product is not None:
        content = array(product.inputs[1])
        if content is None or content.size != 1 or content <= 0 or content % 1:
            return None, 1
        value, factor = operand(product, 0), int(content.item())
    cast = produced_by(value, "Cast")
    is_real = cast is not None and cast.outputs[0].dtype == ir.DataType.FLOAT
    return (sum_layer(operand(cast, 0)) if cast is not None and is_real else None), factor
