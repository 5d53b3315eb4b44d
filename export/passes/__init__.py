"""The passes from torch's graph with bnnkit's marks to the graph of an artifact, in their order.

Each is one file: its docstring numbers the rules, the code cites the numbers.
"""

from collections.abc import Callable
from typing import Final

import onnx_ir as ir

from bnnkit.errors import UnsupportedError
from bnnkit.export.functions import DOMAIN
from bnnkit.export.graph import label
from bnnkit.export.passes.batch_norm import lower_batch_norms
from bnnkit.export.passes.binary_layers import lower_binary_layers
from bnnkit.export.passes.clean_up import clean_up, remove_dead
from bnnkit.export.passes.commute_sign import move_behind_signs
from bnnkit.export.passes.integer_layers import lower_integer_layers
from bnnkit.export.passes.names import name_all
from bnnkit.export.passes.pooled_sums import compare_pooled_sums
from bnnkit.export.passes.push_dequantize import push_dequantize
from bnnkit.export.passes.signs import lower_signs
from bnnkit.export.passes.thresholds import fold_thresholds

PASSES: Final[tuple[Callable[[ir.Graph], None], ...]] = (
    lower_signs,
    move_behind_signs,
    push_dequantize,
    lower_integer_layers,
    lower_binary_layers,
    fold_thresholds,
    compare_pooled_sums,
    remove_dead,  # batch norms that are in a threshold now
    lower_batch_norms,
    clean_up,
    name_all,
)


def lower(graph: ir.Graph) -> None:
    """Turn a marked graph into that of an artifact, in place.

    Raises:
        UnsupportedError: Some part has no counterpart in an artifact; the message names its module
            and operator.
    """
    for run in PASSES:
        run(graph)
    for node in graph.all_nodes():
        # A mark in the branch of an If, or in a loop, is in a graph of its own.
        is_known = node.domain == "" or (node.domain == DOMAIN and node.graph is graph)
        if not is_known:
            raise UnsupportedError(
                f"expected standard operators around bnnkit's layers, got {label(node)} of the "
                f"domain {node.domain!r}, or inside a branch"
            )
