"""Leaves out first states of recurrent layers that are zeros, which is what ONNX takes then.

Torch's exporters write zeros for each image of the batch. Their batch is axis 1, where a constant
must not depend on it (`batch_constants.py`).
"""

import onnx_ir as ir

from bnnkit.artifact.operators.facts import RECURRENT
from bnnkit.export.ir.graph import array, nodes

_HIDDEN, _CELL = 5, 6
"""Inputs of `LSTM`, `GRU` and `RNN` that hold first states."""


def leave_out_zero_states(graph: ir.Graph) -> None:
    """Run the pass; constants must be folded."""
    for node in nodes(graph, *RECURRENT):
        for index in range(_HIDDEN, min(_CELL + 1, len(node.inputs))):
            content = array(node.inputs[index])
            if content is not None and not content.any():
                node.replace_input_with(index, None)
