"""Finds signs of integer sums that depend on rounding in the source.

The source scales each product of a layer, or its signs or weights have rounding of
a straight-through estimator. Products that cancel then add up not to 0 but to a rounding error of
either sign, which depends on the engine's order of additions. An artifact scales the exact sum
once: a sum of 0 is 0, and its sign is +1.

1. The input of the sign is a function f of an integer sum c. Rounding decides if the signs of
   f(c - e) and f(c + e) differ for a possible c, where e is 4 rounding errors of the largest sum.
2. This does not apply if the sums of the source are exact, that is if its scales are powers of
   two.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.export.analysis.integer_sums import largest_sums, thresholds_of
from bnnkit.export.analysis.monotone import IDENTITY, Step
from bnnkit.export.from_onnx.differences import RoundingTie
from bnnkit.export.from_onnx.products import is_weight_scale
from bnnkit.export.from_onnx.sign_of_zero import chain_to_sum, has_any_parity
from bnnkit.export.ir.graph import constant, module_path, nodes
from bnnkit.export.passes.lower_signs import sign_record

_ERRORS = 4 * 2.0**-24


def rounding_ties(graph: ir.Graph, *, is_rounded: bool) -> tuple[RoundingTie, ...]:
    """The signs that depend on rounding in the source.

    Args:
        graph: A graph with integer sums, before thresholds are folded.
        is_rounded: Whether signs or weights of the source have rounding of their own.

    Raises:
        UnsupportedError: A value between a sum and its sign is NaN or infinite.
    """
    found = []
    for sign in nodes(graph, "Sign", domain=DOMAIN):
        chain, layer = chain_to_sum(sign)
        record = sign_record(sign.outputs[0])
        if layer is None or record is None or not (is_rounded or _is_scaled_before(chain)):
            continue
        n_channels = int(_has_tie(sign, chain, layer).sum())
        if n_channels:
            name = record.name.partition("/")[0]
            found.append(RoundingTie(name, module_path(layer), n_channels))
    return tuple(found)


def _is_scaled_before(chain: list[Step]) -> bool:
    """Rule 2: whether the source scales products by numbers that are not powers of two."""
    scales = [constant(link.node, 1) for link in chain if is_weight_scale(link.node)]
    return any((np.frexp(np.abs(s))[0] != 0.5)[s != 0].any() for s in scales)


def _has_tie(sign: ir.Node, chain: list[Step], layer: ir.Node) -> NDArray[np.bool_]:
    """Rule 1, (O,)."""
    bound = largest_sums(layer)
    error = np.float32(bound.max() * _ERRORS)
    one = np.ones(1, np.int8)

    def moved(by: np.float32) -> NDArray[np.int64]:
        shift = Step(sign, chain[0].input, one, lambda t: t + float(by), IDENTITY)
        found = thresholds_of(sign, [shift, *chain], layer)
        return np.stack([found.threshold.astype(np.int64), found.side.astype(np.int64)])

    (early, side), (late, other_side) = moved(-error), moved(error)
    is_tie = (early != late) & (side == other_side)
    # The sum between the two thresholds, with the sign of the side on which the sign increases.
    between = side * np.minimum(early, late)
    return np.asarray(is_tie & ((between % 2 == bound % 2) | has_any_parity(layer)))
