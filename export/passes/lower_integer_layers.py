"""The integer first layers of images become bnnkit's operators, with int16 weights.

1. A mark `IntegerConv2d(x, weight, exponent, zero_point)`, or `IntegerLinear`, becomes the
   operator of that name, `Cast` to float32, and `Mul` by the grid step 2**exponent of each output
   channel, which is exact.
2. The integer weight is rint(weight / 2**exponent), ties to even, clipped to [-2047, 2047].
3. There is one zero point for each input channel, shape (I, 1, 1), or feature, shape (I,).
4. |sum| < 2^24 must hold for every possible image, so that the sums are exact in float32.
"""

from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators import layer_kind
from bnnkit.artifact.operators.integer_sums import largest_image_sums
from bnnkit.errors import UnsupportedError
from bnnkit.export.ir.graph import (
    add_constant,
    cast_to_real,
    channel_column,
    constant,
    label,
    new_node,
    operand,
    parameter_name,
    replace,
)

MAX_WEIGHT: Final = 2047
MAX_SUM: Final = 2**24 - 1


def lower_integer_layers(graph: ir.Graph) -> None:
    """Run the pass.

    Raises:
        UnsupportedError: The input of a layer is not uint8, its parameters are computed, NaN or
            infinite, or its sums can reach 2^24.
    """
    for mark in [mark for mark in graph if layer_kind(mark) == "integer"]:
        _lower(graph, mark)


def _lower(graph: ir.Graph, mark: ir.Node) -> None:
    x, y = operand(mark, 0), mark.outputs[0]
    if x.dtype != ir.DataType.UINT8:
        raise UnsupportedError(
            f"expected uint8 images as input of {label(mark)}; give the export a uint8 example"
        )
    weight, exponent, zero_point = _parameters(mark)
    largest = int(
        largest_image_sums(weight, zero_point, mark.attributes.get_int("group", 1)).max()
    )
    if largest > MAX_SUM:  # rule 4
        raise UnsupportedError(
            f"expected sums of {label(mark)} below 2^24, but an image can give {largest}"
        )
    layer = new_node(
        mark.op_type,
        [
            x,
            add_constant(graph, parameter_name(mark, "weight"), weight),
            add_constant(graph, parameter_name(mark, "zero_point"), zero_point),
        ],
        source=mark,
        dtype=ir.DataType.INT32,
        shape=y.shape,
        domain=DOMAIN,
        attributes=mark.attributes,
    )
    real = cast_to_real(layer.outputs[0], mark)
    steps = channel_column(np.ldexp(np.float32(1), exponent), y)
    inputs = [real.outputs[0], add_constant(graph, parameter_name(mark, "step"), steps)]
    scaled = new_node("Mul", inputs, source=mark, dtype=ir.DataType.FLOAT, shape=y.shape)
    replace(graph, mark, [layer, real, scaled])  # rule 1


def _parameters(mark: ir.Node) -> tuple[NDArray[np.int16], NDArray[Any], NDArray[np.uint8]]:
    """The integer weight, the exponent (O,), and the zero point in the operator's shape."""
    weight, exponent, zero_point = (constant(mark, index) for index in (1, 2, 3))
    if not np.isfinite(weight).all():
        raise UnsupportedError(
            f"expected finite weights of {label(mark)}, got NaN or an infinity; the "
            "training has diverged"
        )
    on_grid = np.rint(np.ldexp(weight, -exponent.reshape(-1, *[1] * (weight.ndim - 1))))
    integers = np.clip(on_grid, -MAX_WEIGHT, MAX_WEIGHT).astype(np.int16)  # rule 2
    return integers, exponent, zero_point.reshape(-1, *[1] * (weight.ndim - 2))  # rule 3
