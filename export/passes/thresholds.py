"""What lies between an integer sum and a sign becomes one integer threshold for each channel.

1. A `Sign` of a chain f of elementwise operators, monotone on each channel, over one integer sum c
   becomes `c >= threshold`: sign(f(c)) changes once at most over the integers of [-K, K], K being
   the largest absolute sum (rounding is monotone too).
2. Where f decreases, the channel's weights are negated: the sum is then -c, and sign(f) increases
   with it. That needs a sum without another use; else such a sign stays `Sign`.
3. Where sign(f) is the same for all sums, the threshold is -K (always +1) or K + 1 (never).
4. `BinaryConv2d` with such a sign becomes `BinaryConv2dThreshold` where the sum has no other use.
   In all other cases a `Threshold` stands behind the sum.
"""

from typing import Final

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from bnnkit.bits import pack_weight, unpack_weight
from bnnkit.errors import UnsupportedError
from bnnkit.export.find_thresholds import SignsOfSums, find_thresholds
from bnnkit.export.functions import DOMAIN
from bnnkit.export.graph import (
    add_constant,
    channel_column,
    constant,
    label,
    new_node,
    nodes,
    only_consumer,
    operand,
    parameter_name,
    replace,
)
from bnnkit.export.monotone import Step, step
from bnnkit.export.passes.integer_layers import largest_sums
from bnnkit.export.passes.signs import set_signs, signs_of

SUM_OPERATORS: Final = ("BinaryConv2d", "BinaryLinear", "IntegerConv2d", "IntegerLinear")
"""The operators of the domain `bnnkit` that give integer sums."""


def fold_thresholds(graph: ir.Graph) -> None:
    """Run the pass.

    Raises:
        UnsupportedError: Something between a sum and its sign is NaN or infinite.
    """
    for sign in nodes(graph, "Sign", domain=DOMAIN):
        found = _chain_above(sign)
        if found is not None:
            _fold(graph, sign, *found)


def _chain_above(sign: ir.Node) -> tuple[ir.Node, list[Step]] | None:
    """The layer that gives the sum, and the steps from the sum to the sign."""
    chain: list[Step] = []
    value = operand(sign, 0)
    while (link := step(value)) is not None:
        chain.append(link)
        value = link.input
    layer = value.producer()
    is_sum = layer is not None and layer.domain == DOMAIN and layer.op_type in SUM_OPERATORS
    return (layer, chain[::-1]) if layer is not None and is_sum else None


def _fold(graph: ir.Graph, sign: ir.Node, layer: ir.Node, chain: list[Step]) -> None:
    bound = _largest_sums(layer)
    found = find_thresholds(_signs_of_sums(sign, chain, bound), bound)
    values = [layer.outputs[0], *(link.node.outputs[0] for link in chain)]
    is_only_use = all(only_consumer(value) is not None for value in values)
    if np.any(found.side < 0):  # rule 2
        if not is_only_use:
            return
        _negate_channels(graph, layer, found.side)
    is_fused = is_only_use and layer.op_type == "BinaryConv2d"
    new = (_fused if is_fused else _behind_the_sum)(graph, sign, layer, found.threshold)
    record = signs_of(sign.outputs[0])
    if record is not None:
        set_signs(new.outputs[0], record)
    replace(graph, sign, [new])


def _largest_sums(layer: ir.Node) -> NDArray[np.int64]:
    """K, shape (O,)."""
    if layer.op_type.startswith("Binary"):
        outputs, *fan_in = layer.attributes["weight_shape"].as_ints()
        return np.full(outputs, np.prod(fan_in, dtype=np.int64))
    group = layer.attributes.get_int("group", 1)
    return largest_sums(constant(layer, 1), constant(layer, 2), group)


def _signs_of_sums(sign: ir.Node, chain: list[Step], bound: NDArray[np.int64]) -> SignsOfSums:
    """The function sign(f(c)) of rule 1."""

    def value(sums: NDArray[np.int64]) -> torch.Tensor:
        x = torch.from_numpy(sums.astype(np.float32))[None]  # exact: |c| < 2^24
        for link in chain:
            x = link.apply(x)
        return x[0]

    if not all(bool(value(c).isfinite().all()) for c in (-bound, 0 * bound, bound)):
        raise UnsupportedError(
            f"the input of {label(sign)} is NaN or infinite for some sums; training diverged"
        )
    return lambda sums: (value(sums) >= 0).numpy()


def _negate_channels(graph: ir.Graph, layer: ir.Node, side: NDArray[np.int8]) -> None:
    """Multiply the weights of output channels by `side`; weights with other uses are copied."""
    weight, content = operand(layer, 1), constant(layer, 1)
    if layer.op_type.startswith("Binary"):
        shape = tuple(layer.attributes["weight_shape"].as_ints())
        column = side.reshape(-1, *[1] * (len(shape) - 1))
        content = pack_weight(unpack_weight(content, shape) * column)
    else:
        content = content * side.reshape(-1, *[1] * (content.ndim - 1))
    if len(weight.uses()) == 1:
        weight.const_value = ir.Tensor(content, name=weight.name)
    else:
        layer.replace_input_with(1, add_constant(graph, parameter_name(layer, "weight"), content))


def _fused(
    graph: ir.Graph, sign: ir.Node, layer: ir.Node, threshold: NDArray[np.int32]
) -> ir.Node:
    limit = add_constant(graph, parameter_name(sign, "threshold"), threshold)
    return new_node(
        "BinaryConv2dThreshold",
        [*layer.inputs, limit],
        source=layer,
        dtype=ir.DataType.UINT8,
        shape=sign.outputs[0].shape,
        domain=DOMAIN,
        attributes=layer.attributes,
    )


def _behind_the_sum(
    graph: ir.Graph, sign: ir.Node, layer: ir.Node, threshold: NDArray[np.int32]
) -> ir.Node:
    total = layer.outputs[0]
    column = channel_column(threshold, total)
    limit = add_constant(graph, parameter_name(sign, "threshold"), column)
    return new_node(
        "Threshold",
        [total, limit],
        source=sign,
        dtype=ir.DataType.UINT8,
        shape=sign.outputs[0].shape,
        domain=DOMAIN,
    )
