"""What lies between an integer sum and a sign becomes one integer threshold for each channel.

1. A `Sign` of a chain f of elementwise operators, monotone on each channel, over one integer sum c
   becomes `c >= threshold`. The threshold is where sign(f(c)) changes over the integers of [-K,
   K], K being the largest absolute sum. It is found by evaluating f, with torch's own kernels, and
   not by algebra: rounding is monotone, so there is one change at most, and bisection finds it.
2. Where f decreases, the channel's weights are negated: the sum is then -c, and sign(f) increases
   with it. That needs a sum without another use; else such a sign stays `Sign`.
3. Where sign(f) is the same for all sums, the threshold is -K (always +1) or K + 1 (never).
4. `BinaryConv2d` with such a sign becomes `BinaryConv2dThreshold` where the sum has no other use.
   In all other cases a `Threshold` stands behind the sum.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from bnnkit.bits import pack_weight, unpack_weight
from bnnkit.errors import UnsupportedError
from bnnkit.export.functions import DOMAIN
from bnnkit.export.graph import (
    add_constant,
    array,
    consumer,
    label,
    module_path,
    new_node,
    nodes,
    rank,
    replace,
)
from bnnkit.export.monotone import Step, step
from bnnkit.export.passes.integer_layers import largest_sums
from bnnkit.export.passes.signs import set_signs, signs_of

SUM_OPERATORS: Final = ("BinaryConv2d", "BinaryLinear", "IntegerConv2d", "IntegerLinear")
"""The operators of the domain `bnnkit` that give integer sums."""

Signs = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""One integer for each channel, (O,), to whether the sign is +1."""


@dataclass(frozen=True)
class Thresholds:
    """Where signs change.

    Attributes:
        threshold: int32 (O,), in [-K, K + 1]: the sign is +1 where side * c >= threshold.
        side: int8 (O,): -1 on channels where the sign decreases with c, else +1.
    """

    threshold: NDArray[np.int32]
    side: NDArray[np.int8]


def fold_thresholds(graph: ir.Graph) -> None:
    """Run the pass.

    Raises:
        UnsupportedError: Something between a sum and its sign is NaN or infinite.
    """
    for sign in nodes(graph, "Sign", domain=DOMAIN):
        found = _chain_above(sign)
        if found is not None:
            _fold(graph, sign, *found)


def find_thresholds(signs: Signs, bound: NDArray[np.int64]) -> Thresholds:
    """Where a monotone sign changes, for each channel, by bisection.

    Args:
        signs: Monotone in c on each channel, defined on [-K, K].
        bound: K, shape (O,).
    """
    side = np.where(signs(-bound) & ~signs(bound), -1, 1)
    # At `below` the sign is -1, at `above` it is +1; both begin one step outside, where that is so
    # by agreement.
    below, above = -bound - 1, bound + 1
    while np.any(above - below > 1):
        middle = (below + above) // 2
        is_plus = signs(side * np.clip(middle, -bound, bound))
        undecided = above - below > 1
        above = np.where(undecided & is_plus, middle, above)
        below = np.where(undecided & ~is_plus, middle, below)
    return Thresholds(above.astype(np.int32), side.astype(np.int8))


def _chain_above(sign: ir.Node) -> tuple[ir.Node, list[Step]] | None:
    """The layer that gives the sum, and the steps from the sum to the sign."""
    chain: list[Step] = []
    value = sign.inputs[0]
    while value is not None:
        layer = value.producer()
        if layer is not None and layer.domain == DOMAIN and layer.op_type in SUM_OPERATORS:
            return layer, chain[::-1]
        link = step(value)
        if link is None:
            return None
        chain.append(link)
        value = link.input
    return None


def _fold(graph: ir.Graph, sign: ir.Node, layer: ir.Node, chain: list[Step]) -> None:
    bound = _largest_sums(layer)
    found = find_thresholds(_evaluated(sign, chain, bound), bound)
    only_use = all(
        consumer(value) is not None
        for value in (*layer.outputs, *(s.node.outputs[0] for s in chain))
    )
    if not only_use and np.any(found.side < 0):
        return  # rule 2
    if np.any(found.side < 0):
        _negate_channels(graph, layer, found.side)
    _put_threshold(
        graph, sign, layer, found.threshold, fuse=only_use and layer.op_type == "BinaryConv2d"
    )


def _largest_sums(layer: ir.Node) -> NDArray[np.int64]:
    """K, shape (O,)."""
    if layer.op_type.startswith("Binary"):
        outputs, *fan_in = layer.attributes["weight_shape"].as_ints()
        return np.full(outputs, np.prod(fan_in, dtype=np.int64))
    weight, zero_point = array(layer.inputs[1]), array(layer.inputs[2])
    assert weight is not None and zero_point is not None
    return largest_sums(weight, zero_point, layer.attributes.get_int("group", 1))


def _evaluated(sign: ir.Node, chain: list[Step], bound: NDArray[np.int64]) -> Signs:
    """The signs of f(c)."""

    def value(sums: NDArray[np.int64]) -> torch.Tensor:
        x = torch.from_numpy(sums.astype(np.float32))[None]  # exact: |c| < 2^24
        for link in chain:
            x = link.apply(x)
        return x[0]

    for sums in (-bound, bound * 0, bound):
        if not bool(value(sums).isfinite().all()):
            raise UnsupportedError(
                f"what is between the sum and {label(sign)} gives NaN or an infinity; the training has diverged"
            )
    return lambda sums: (value(sums) >= 0).numpy()


def _negate_channels(graph: ir.Graph, layer: ir.Node, side: NDArray[np.int8]) -> None:
    """Multiply the weights of each output channel by `side`; a packed weight that has other uses is copied."""
    weight = layer.inputs[1]
    content = array(weight)
    assert weight is not None and content is not None
    if layer.op_type.startswith("Binary"):
        shape = tuple(layer.attributes["weight_shape"].as_ints())
        content = pack_weight(
            unpack_weight(content, shape) * side.reshape(-1, *[1] * (len(shape) - 1))
        )
    else:
        content = content * side.astype(np.int16).reshape(-1, *[1] * (content.ndim - 1))
    if len(weight.uses()) == 1:
        weight.const_value = ir.Tensor(content, name=weight.name)
    else:
        layer.replace_input_with(1, add_constant(graph, f"{module_path(layer)}.weight", content))


def _put_threshold(
    graph: ir.Graph, sign: ir.Node, layer: ir.Node, threshold: NDArray[np.int32], fuse: bool
) -> None:
    column = threshold if fuse else threshold.reshape(-1, *[1] * (rank(layer.outputs[0]) - 2))
    constant = add_constant(graph, f"{module_path(sign) or 'sign'}.threshold", column)
    new = new_node(
        "BinaryConv2dThreshold" if fuse else "Threshold",
        [*layer.inputs, constant] if fuse else [layer.outputs[0], constant],
        source=layer if fuse else sign,
        dtype=ir.DataType.UINT8,
        shape=sign.outputs[0].shape,
        domain=DOMAIN,
        attributes=layer.attributes if fuse else None,
    )
    record = signs_of(sign.outputs[0])
    if record is not None:
        set_signs(new.outputs[0], record)
    replace(graph, sign, [new])
