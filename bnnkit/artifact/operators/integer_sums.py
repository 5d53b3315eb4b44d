"""The bound of the sums of integer layers: K of docs/artifact.md."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from bnnkit.artifact.operators.attribute_rule import Attributes
from bnnkit.artifact.operators.operand import Sizes

WEIGHTS: Final = TensorProto.INT16
"""The element type of the weights."""


def largest_image_sums(
    weight: NDArray[np.int16], zero_point: NDArray[np.uint8], group: int
) -> NDArray[np.int64]:
    """The largest absolute sum over all possible images, for each output channel.

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


def largest_sums(
    _: Sizes, constants: Mapping[str, NDArray[Any]], attributes: Attributes
) -> NDArray[np.int64]:
    """Return K of an integer layer, (O,)."""
    group = attributes.get("group", 1)
    return largest_image_sums(constants["weight"], constants["zero_point"], group)
