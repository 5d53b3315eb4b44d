"""Signs after a pool of integer sums compare the pooled integers, without rounding.

1. `sum -> g -> MaxPool -> f -> Sign`, with chains g and f of elementwise operators that are
   monotone on each channel, becomes `sum -> Cast -> MaxPool -> Mul(side) -> Add(-threshold) ->
   Sign`. The side is -1 on channels where f(g(.)) decreases. The sums are integers below 2^24 and
   the difference of two floats has the right sign, so every engine gives the same bits as torch.
2. g must not decrease on any channel. Values from g on must have no other use, as they are no
   longer computed.

This is for pools that `commute_sign` could not move behind the sign, as f decreases.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.export.analysis.integer_sums import sum_layer, thresholds_of
from bnnkit.export.analysis.monotone import Step, step
from bnnkit.export.ir.graph import (
    add_constant,
    cast_to_real,
    channel_column,
    new_node,
    nodes,
    only_consumer,
    operand,
    parameter_name,
    produced_by,
)


def compare_pooled_sums(graph: ir.Graph) -> None:
    """Run the pass.

    Raises:
        UnsupportedError: A value between a sum and its sign is NaN or infinite.
    """
    for sign in nodes(graph, "Sign", domain=DOMAIN):
        found = _pooled_chain_above(sign)
        if found is not None:
            _compare(graph, sign, *found)


def _pooled_chain_above(sign: ir.Node) -> tuple[ir.Node, list[Step], list[ir.Node]] | None:
    """The layer that gives the sum, the steps of g and f, and the pools, in graph order."""
    chain: list[Step] = []
    pools: list[ir.Node] = []
    value = operand(sign, 0)
    while (layer := sum_layer(value)) is None:
        pool, link = produced_by(value, "MaxPool"), step(value)
        if only_consumer(value) is None:  # rule 2
            return None
        if pool is not None:
            pools.append(pool)
            value = operand(pool, 0)
        elif link is not None and not (pools and (link.direction < 0).any()):
            chain.append(link)
            value = link.input
        else:
            return None
    return (layer, chain[::-1], pools[::-1]) if pools else None


def _compare(
    graph: ir.Graph, sign: ir.Node, layer: ir.Node, chain: list[Step], pools: Sequence[ir.Node]
) -> None:
    found = thresholds_of(sign, chain, layer)
    new = [cast_to_real(layer.outputs[0], layer)]
    for pool in pools:
        new.append(_real("MaxPool", [new[-1].outputs[0]], pool, pool))
    for op_type, name, numbers in (
        ("Mul", "side", found.side),
        ("Add", "shift", -found.threshold),
    ):
        x = new[-1].outputs[0]
        column = channel_column(numbers.astype(np.float32), x)
        operands = [x, add_constant(graph, parameter_name(sign, name), column)]
        new.append(_real(op_type, operands, sign, pools[-1]))
    graph.insert_before(sign, new)
    sign.replace_input_with(0, new[-1].outputs[0])


def _real(op_type: str, inputs: list[ir.Value], source: ir.Node, like: ir.Node) -> ir.Node:
    """Makes a node that gives real values with the shape of the output of the pool `like`."""
    attributes = like.attributes if op_type == like.op_type else None
    shape = like.outputs[0].shape
    real = ir.DataType.FLOAT
    return new_node(op_type, inputs, source=source, dtype=real, shape=shape, attributes=attributes)
