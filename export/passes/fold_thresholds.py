"""The operators between an integer sum and a sign become an integer threshold for each channel.

1. `Sign(f(c))`, with an integer sum c and a chain f of elementwise operators that is monotone on
   each channel, becomes `c >= threshold`. sign(f(c)) changes at most once over the integers of
   [-K, K], where K is the largest absolute sum, as rounding is monotone too.
2. Where f decreases, the weights of the channel are negated: the sum is then -c, and sign(f)
   increases with it. If the real value of the sum has other uses, it is negated back after the
   `Cast`, which is exact. A sum that is also used as an integer keeps its weights and its `Sign`.
3. Where sign(f) is the same for all sums, the threshold is -K (always +1) or K + 1 (never +1).
4. `BinaryConv2d` with such a sign becomes `BinaryConv2dThreshold` if the sum has no other use.
   Otherwise a `Threshold` follows the sum.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators import layer_kind
from bnnkit.export.analysis.integer_sums import sum_layer, thresholds_of
from bnnkit.export.analysis.monotone import Step, step
from bnnkit.export.ir.graph import (
    add_constant,
    array,
    channel_column,
    constant,
    new_node,
    nodes,
    only_consumer,
    operand,
    parameter_name,
    replace,
)
from bnnkit.export.passes.packed_weights import negate_packed


def fold_thresholds(graph: ir.Graph) -> None:
    """Run the pass.

    Raises:
        UnsupportedError: A value between a sum and its sign is NaN or infinite.
    """
    for sign in nodes(graph, "Sign", domain=DOMAIN):
        found = _chain_above(sign)
        if found is not None:
            _fold(graph, sign, *found)


def _chain_above(sign: ir.Node) -> tuple[ir.Node, list[Step]] | None:
    """The layer that gives the sum, and the steps from the sum to the sign; else None."""
    chain: list[Step] = []
    value = operand(sign, 0)
    while (link := step(value)) is not None:
        chain.append(link)
        value = link.input
    layer = sum_layer(value)
    return None if layer is None else (layer, chain[::-1])


def _fold(graph: ir.Graph, sign: ir.Node, layer: ir.Node, chain: list[Step]) -> None:
    found = thresholds_of(sign, chain, layer)
    values = [layer.outputs[0], *(link.node.outputs[0] for link in chain)]
    is_only_use = all(only_consumer(value) is not None for value in values)
    if np.any(found.side < 0):  # rule 2
        cast = only_consumer(layer.outputs[0])
        if cast is None:
            return
        if not is_only_use:
            negate_back(graph, cast, found.side)
        negate_channels(graph, layer, found.side)
    is_fused = is_only_use and layer.op_type == "BinaryConv2d"
    make = _fused if is_fused else _behind_the_sum
    replace(graph, sign, [make(graph, sign, layer, found.threshold)])


def negate_channels(graph: ir.Graph, layer: ir.Node, side: NDArray[np.int8]) -> None:
    """Multiply the weights of output channels by `side`; shared weights are copied first."""
    weight, content = operand(layer, 1), constant(layer, 1)
    if len(weight.uses()) > 1:
        copy = add_constant(graph, parameter_name(layer, "weight"), content)
        copy.meta.update(weight.meta)
        layer.replace_input_with(1, copy)
        weight = copy
    if layer_kind(layer) == "binary":
        negate_packed(weight, tuple(layer.attributes["weight_shape"].as_ints()), side)
    else:
        negated = content * side.reshape(-1, *[1] * (content.ndim - 1))
        weight.const_value = ir.Tensor(negated, name=weight.name)


def negate_back(graph: ir.Graph, cast: ir.Node, side: NDArray[np.int8]) -> None:
    """Undo `negate_channels` for the users of a sum's real value.

    The value is multiplied by `side`, as part of the scale that follows it if there is one.
    """
    real = cast.outputs[0]
    column = channel_column(side.astype(np.float32), real)
    scale = only_consumer(real)
    if scale is not None and _is_scale(scale, real):
        signed = add_constant(graph, parameter_name(cast, "step"), constant(scale, 1) * column)
        scale.replace_input_with(1, signed)
        return
    factor = add_constant(graph, parameter_name(cast, "side"), column)
    inputs = [real, factor]
    restored = new_node("Mul", inputs, source=cast, dtype=ir.DataType.FLOAT, shape=real.shape)
    real.replace_all_uses_with(restored.outputs[0], replace_graph_outputs=True)
    restored.replace_input_with(0, real)
    graph.insert_after(cast, restored)


def _is_scale(node: ir.Node, x: ir.Value) -> bool:
    is_product = (node.domain, node.op_type) == ("", "Mul") and node.inputs[0] is x
    return is_product and array(node.inputs[1]) is not None


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
