"""Integer sums in a graph: the layers that give them, their bounds, and their thresholds."""

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from bnnkit.artifact.operators import gives_sums_of_channels, layer_kind
from bnnkit.artifact.operators.integer_sums import largest_image_sums
from bnnkit.errors import UnsupportedError
from bnnkit.export.analysis.find_thresholds import SignsOfSums, Thresholds, find_thresholds
from bnnkit.export.analysis.monotone import Step
from bnnkit.export.ir.graph import constant, label


def sum_layer(value: ir.Value) -> ir.Node | None:
    """The layer that gives a value; None if the value is not an integer sum with weights."""
    node = value.producer()
    return node if node is not None and gives_sums_of_channels(node) else None


def largest_sums(layer: ir.Node) -> NDArray[np.int64]:
    """K, the largest absolute sum of each output channel of a layer, (O,)."""
    if layer_kind(layer) == "binary":
        outputs, *fan_in = layer.attributes["weight_shape"].as_ints()
        return np.full(outputs, np.prod(fan_in, dtype=np.int64))
    group = layer.attributes.get_int("group", 1)
    return largest_image_sums(constant(layer, 1), constant(layer, 2), group)


def thresholds_of(sign: ir.Node, chain: list[Step], layer: ir.Node) -> Thresholds:
    """The thresholds of sign(f(c)) for the sums c of a layer, where `chain` holds the steps of f.

    Raises:
        UnsupportedError: f(c) is NaN or infinite for a sum c.
    """
    bound = largest_sums(layer)
    return find_thresholds(_signs_of_sums(sign, chain, bound), bound)


def thresholds_on_side(
    sign: ir.Node, chain: list[Step], bound: NDArray[np.int64], side: NDArray[np.int8]
) -> NDArray[np.int32]:
    """As `thresholds_of`, for the sums side * c, in which sign(f) must not decrease.

    Args:
        sign: The sign.
        chain: The steps of f.
        bound: K, the largest |c| of each channel, (O,).
        side: int8 (O,), +1 or -1.

    Returns:
        int32 (O,), in [-K, K + 1]: the sign is +1 where side * c >= threshold.
    """
    signs = _signs_of_sums(sign, chain, bound)
    return find_thresholds(lambda sums: signs(side * sums), bound).threshold


def _signs_of_sums(sign: ir.Node, chain: list[Step], bound: NDArray[np.int64]) -> SignsOfSums:
    """The function from sums to signs that torch computes."""

    def value(sums: NDArray[np.int64]) -> torch.Tensor:
        x = torch.from_numpy(sums.astype(np.float32))[None]  # exact: |c| < 2^24
        for link in chain:
            x = link.apply(x)
        return x[0]

    if not all(bool(value(c).isfinite().all()) for c in (-bound, 0 * bound, bound)):
        raise UnsupportedError(
            f"expected a finite input of {label(sign)}, got NaN or an infinity for some sums; the "
            "training has diverged"
        )
    return lambda sums: (value(sums) >= 0).numpy()
