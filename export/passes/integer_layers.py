"""The integer first layers of images become `IntegerConv2d` or `IntegerLinear`, with int16 weights.

1. A mark `IntegerConv2d(x, weight, exponent, zero_point)`, or `IntegerLinear`, becomes the
   operator, `Cast` to float32, and `Mul` by the grid step 2**exponent of each output channel,
   which is exact.
2. The integer weight is rint(weight / 2**exponent), ties to even, clipped to [-2047, 2047].
3. A zero point stands for each input channel, shape (I, 1, 1), or for each feature, shape (I,).
4. |sum| < 2^24 for every image is checked, or else the sums would not be exact.
"""

from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.export.functions import DOMAIN
from bnnkit.export.graph import add_constant, array, label, module_path, new_node, nodes, replace

MAX_WEIGHT: Final = 2047
MAX_SUM: Final = 2**24 - 1


def lower_integer_layers(graph: ir.Graph) -> None:
    """Run the pass.

    Raises:
        UnsupportedError: The input of a layer is not uint8, its parameters are not constant, or
            its sums can reach 2^24.
    """
    for mark in nodes(graph, "IntegerConv2d", "IntegerLinear", domain=DOMAIN):
        _lower(graph, mark)


def largest_sums(
    weight: NDArray[np.int16], zero_point: NDArray[np.uint8], group: int
) -> NDArray[np.int64]:
    """The largest absolute sum that an image can give, for each output channel.

    Args:
        weight: (O, I/G, KH, KW) or (O, I).
        zero_point: (I, 1, 1) or (I,).
        group: G.

    Returns:
        (O,).
    """
    middle = zero_point.ravel().astype(np.int64)
    reach = np.maximum(middle, 255 - middle).reshape(group, 1, -1)  # of |image - zero point|
    outputs, per_group = weight.shape[:2]
    size = np.abs(weight.astype(np.int64)).reshape(group, outputs // group, per_group, -1).sum(3)
    bounds: NDArray[np.int64] = (size * reach).sum(2).ravel()
    return bounds


def _lower(graph: ir.Graph, mark: ir.Node) -> None:
    x = mark.inputs[0]
    if x is None or x.dtype != ir.DataType.UINT8:
        raise UnsupportedError(
            f"expected uint8 images as input of {label(mark)}; give a uint8 example to the export"
        )
    weight, exponent, zero_point = _parameters(mark)
    largest = int(largest_sums(weight, zero_point, mark.attributes.get_int("group", 1)).max())
    if largest > MAX_SUM:  # rule 4
        raise UnsupportedError(
            f"expected sums of {label(mark)} below 2^24, but an image can give {largest}"
        )
    path, y = module_path(mark), mark.outputs[0]
    constants = [
        add_constant(graph, f"{path}.weight", weight),
        add_constant(graph, f"{path}.zero_point", zero_point),
    ]
    layer = new_node(
        mark.op_type,
        [x, *constants],
        source=mark,
        dtype=ir.DataType.INT32,
        shape=y.shape,
        domain=DOMAIN,
        attributes=mark.attributes,
    )
    to = {"to": ir.DataType.FLOAT}
    real = new_node(
        "Cast", layer.outputs, source=mark, dtype=ir.DataType.FLOAT, shape=y.shape, attributes=to
    )
    step = np.ldexp(np.float32(1), exponent).reshape(-1, *[1] * (weight.ndim - 2))
    scale = add_constant(graph, f"{path}.step", step)
    scaled = new_node(
        "Mul", [*real.outputs, scale], source=mark, dtype=ir.DataType.FLOAT, shape=y.shape
    )
    replace(graph, mark, [layer, real, scaled])  # rule 1


def _parameters(mark: ir.Node) -> tuple[NDArray[np.int16], NDArray[Any], NDArray[np.uint8]]:
    """Integer weight, exponent (O,), and zero point in the shape of the operator."""
    weight, exponent, zero_point = (array(value) for value in mark.inputs[1:4])
    if weight is None or exponent is None or zero_point is None:
        raise UnsupportedError(
            f"expected parameters of {label(mark)} that are constants, got computed ones"
        )
    if not np.isfinite(weight).all():
        raise UnsupportedError(
            f"the weights of {label(mark)} hold NaN or an infinity; the training has diverged"
        )
    column = (-1, *[1] * (weight.ndim - 1))
    on_grid = np.rint(np.ldexp(weight, -exponent.reshape(column)))
    integers = np.clip(on_grid, -MAX_WEIGHT, MAX_WEIGHT).astype(np.int16)  # rule 2
    return integers, exponent, zero_point.reshape(-1, *[1] * (weight.ndim - 2))  # rule 3
