"""The passes from torch's graph with bnnkit's marks to the graph of an artifact, in their order.

Each is one file: its docstring numbers the rules, the code cites the numbers.
"""

from collections.abc import Callable
from functools import partial

import onnx_ir as ir

from bnnkit.artifact.format import DOMAIN
from bnnkit.errors import UnsupportedError
from bnnkit.export.graph import label
from bnnkit.export.passes.clean_up import clean_up, remove_dead
from bnnkit.export.passes.commute_sign import move_behind_signs
from bnnkit.export.passes.compare_pooled_sums import compare_pooled_sums
from bnnkit.export.passes.compare_with_noise import compare_with_noise
from bnnkit.export.passes.fold_thresholds import fold_thresholds
from bnnkit.export.passes.lower_batch_norms import lower_batch_norms
from bnnkit.export.passes.lower_binary_layers import lower_binary_layers
from bnnkit.export.passes.lower_integer_layers import lower_integer_layers
from bnnkit.export.passes.lower_signs import lower_signs
from bnnkit.export.passes.name_values import name_all
from bnnkit.export.passes.noise_model import NoiseModel
from bnnkit.export.passes.push_dequantize import push_dequantize
from bnnkit.export.passes.sampling_inputs import add_sampling_inputs
from bnnkit.export.passes.store_weight_draws import store_weight_draws

Pass = Callable[[ir.Graph], None]


def passes(stochastic: NoiseModel | None) -> tuple[Pass, ...]:
    """The passes of a deterministic artifact, or of a stochastic one."""
    draw: tuple[Pass, ...] = ()
    store: tuple[Pass, ...] = ()
    if stochastic is not None:
        draw = (add_sampling_inputs, partial(compare_with_noise, stochastic=stochastic))
        store = (store_weight_draws,)
    return (
        partial(lower_signs, stochastic=stochastic is not None),
        move_behind_signs,
        push_dequantize,
        lower_integer_layers,
        partial(lower_binary_layers, stochastic=stochastic),
        fold_thresholds,
        compare_pooled_sums,
        *draw,
        remove_dead,  # batch norms that are in a threshold now
        lower_batch_norms,
        *store,
        clean_up,
        name_all,
    )


def lower(graph: ir.Graph, stochastic: NoiseModel | None = None) -> None:
    """Turn a marked graph into that of an artifact, in place.

    Args:
        graph: Is changed.
        stochastic: The noise that the artifact is to hold; None for a deterministic one.

    Raises:
        UnsupportedError: Some part has no counterpart in an artifact; the message names its module
            and operator.
    """
    for run in passes(stochastic):
        run(graph)
    check_operators(graph)


def check_operators(graph: ir.Graph) -> None:
    """Refuse a lowered graph with operators that an artifact cannot hold.

    Raises:
        UnsupportedError: As `lower`.
    """
    for node in graph.all_nodes():
        # A mark in the branch of an If, or in a loop, is in a graph of its own.
        is_known = node.domain == "" or (node.domain == DOMAIN and node.graph is graph)
        if not is_known:
            raise UnsupportedError(
                f"expected standard operators around bnnkit's layers, got {label(node)} of the "
                f"domain {node.domain!r}, or inside a branch"
            )
