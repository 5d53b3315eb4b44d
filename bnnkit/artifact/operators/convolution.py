"""The attributes, the sizes and the reference that all convolutions share."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.operators.attribute_rule import (
    MOST_PIXELS,
    AttributeRule,
    Attributes,
)
from bnnkit.artifact.operators.operand import Sizes
from bnnkit.errors import ArtifactError, UnsupportedError

Array = NDArray[Any]

CONVOLUTION: Final[Mapping[str, AttributeRule]] = {
    "strides": AttributeRule(kind="INTS", count=2, least=1, most=MOST_PIXELS),
    "pads": AttributeRule(kind="INTS", count=4, least=0, most=MOST_PIXELS),
    "dilations": AttributeRule(kind="INTS", count=2, least=1, most=MOST_PIXELS),
    "group": AttributeRule(kind="INT", least=1, most=MOST_PIXELS),
}
"""The attributes of every convolution; `convolve` explains them."""

GEOMETRY: Final = (
    "strides: ints = @strides, pads: ints = @pads, "
    "dilations: ints = @dilations, group: int = @group"
)
"""The attributes as a body passes them on."""


def convolution_sizes(sizes: Sizes, attributes: Attributes) -> None:
    """Add the size of the output, OH and OW.

    Raises:
        ArtifactError: If the groups do not divide the channels, the weights are for another number
            of inputs.
        UnsupportedError: If the kernel is larger than the padded input.
    """
    group = attributes["group"]
    if sizes["I"] != group * sizes["J"]:
        raise ArtifactError(
            f"expected weights for its {sizes['I']} inputs, got weights for {group * sizes['J']}:"
            f" {group} groups of {sizes['J']}"
        )
    if sizes["O"] % group:
        raise ArtifactError(f"expected a multiple of {group} output channels, got {sizes['O']}")
    for i, axis in enumerate("HW"):
        reach = attributes["dilations"][i] * (sizes[f"K{axis}"] - 1) + 1
        padded = sizes[axis] + attributes["pads"][i] + attributes["pads"][i + 2]
        if reach > padded:
            raise UnsupportedError(
                f"its kernel is larger than its input: {reach} pixels on {padded}, padding"
                " included"
            )
        sizes[f"O{axis}"] = (padded - reach) // attributes["strides"][i] + 1


def convolve(
    x: Array,
    w: Array,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    group: int,
) -> Array:
    """Convolve by definition, with one matrix product for each tap.

    Args:
        x: float64, (N, I, H, W).
        w: float64, (O, I / group, KH, KW).
        strides: Vertical and horizontal strides.
        pads: Zero padding at top, left, bottom, right.
        dilations: Vertical and horizontal dilations.
        group: The number of groups of channels.

    Returns:
        float64, (N, O, OH, OW).
    """
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    height, width = (
        (x.shape[2 + i] - dilations[i] * (w.shape[2 + i] - 1) - 1) // strides[i] + 1
        for i in range(2)
    )
    inputs = x.reshape(len(x), group, -1, *x.shape[2:])
    filters = w.reshape(group, -1, *w.shape[1:])
    sums = np.zeros((len(x), group, filters.shape[1], height * width))
    for ky in range(w.shape[2]):
        for kx in range(w.shape[3]):
            rows = inputs[
                :, :, :, ky * dilations[0] :: strides[0], kx * dilations[1] :: strides[1]
            ]
            taps = rows[:, :, :, :height, :width].reshape(*inputs.shape[:3], -1)
            sums += filters[..., ky, kx] @ taps  # (G, O/G, I/G) @ (N, G, I/G, OH * OW)
    return sums.reshape(len(x), -1, height, width)
