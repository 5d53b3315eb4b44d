"""Stores the draws of the weights; the number of the sample selects one of them.

1. A packed weight with draws becomes a constant whose rows are the weight itself and then its
   draws. A `bnnkit.WeightDraw` before the layers that share it selects a row.
"""

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.export.ir.graph import array, new_node
from bnnkit.export.passes.packed_weights import draws_of
from bnnkit.export.passes.sampling_inputs import sampling_input


def store_weight_draws(graph: ir.Graph) -> None:
    """Run the pass."""
    for weight in list(graph.initializers.values()):
        draws, content = draws_of(weight), array(weight)
        users = list(weight.uses())
        if draws is None or content is None or not users:
            continue
        rows = np.concatenate([content[None], draws])
        weight.const_value = ir.Tensor(rows, name=weight.name)
        weight.shape = ir.Shape(rows.shape)
        first = next(node for node in graph if any(use.node is node for use in users))
        draw = new_node(
            "WeightDraw",
            [weight, sampling_input(graph, "sample")],
            source=first,
            dtype=ir.DataType.UINT8,
            shape=ir.Shape(content.shape),
            domain=DOMAIN,
        )
        for use in users:
            use.node.replace_input_with(use.idx, draw.outputs[0])
        graph.insert_before(first, draw)
