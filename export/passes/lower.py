"""All passes in their order, from a graph with marks to the graph of an artifact."""

from onnx_ir import Graph, Model
from onnx_ir.passes import PassBase

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.errors import UnsupportedError
from bnnkit.export.ir.graph import label
from bnnkit.export.passes.batch_first import batch_first
from bnnkit.export.passes.clean_up import clean_up, remove_dead
from bnnkit.export.passes.commute_sign import commute_sign
from bnnkit.export.passes.compare_pooled_sums import compare_pooled_sums
from bnnkit.export.passes.compare_with_noise import compare_with_noise
from bnnkit.export.passes.fold_levels import fold_levels
from bnnkit.export.passes.fold_thresholds import fold_thresholds
from bnnkit.export.passes.gather_pixels import gather_pixels
from bnnkit.export.passes.graph_pass import graph_pass, run_passes
from bnnkit.export.passes.layers_as_maps import layers_as_maps
from bnnkit.export.passes.lower_batch_norms import lower_batch_norms
from bnnkit.export.passes.lower_binary_layers import lower_binary_layers
from bnnkit.export.passes.lower_binary_products import lower_binary_products
from bnnkit.export.passes.lower_integer_layers import lower_integer_layers
from bnnkit.export.passes.lower_quantize import lower_quantize
from bnnkit.export.passes.lower_signs import lower_signs
from bnnkit.export.passes.name_values import name_values
from bnnkit.export.passes.noise_model import NoiseModel
from bnnkit.export.passes.push_dequantize import push_dequantize
from bnnkit.export.passes.sampling_inputs import add_sampling_inputs
from bnnkit.export.passes.split_transposed import split_transposed
from bnnkit.export.passes.store_weight_draws import store_weight_draws


def lower(model: Model, noise_model: NoiseModel | None = None) -> None:
    """Turn a graph with marks into the graph of an artifact, in place.

    Args:
        model: Its graph is changed.
        noise_model: The noise of a stochastic artifact; None for a deterministic one.

    Raises:
        UnsupportedError: A part of the graph has no counterpart in an artifact; the message names
            its module and operator.
    """
    first = graph_pass(batch_first, stochastic=noise_model is not None)
    run_passes(model, first, *layer_passes(noise_model), *threshold_passes(noise_model))
    check_operators(model.graph)


def layer_passes(noise_model: NoiseModel | None = None) -> list[PassBase]:
    """Marks become operators on packed signs and weights, which give integer sums."""
    return [
        graph_pass(gather_pixels),
        graph_pass(lower_signs, stochastic=noise_model is not None),
        graph_pass(lower_quantize, noise_model=noise_model),
        graph_pass(split_transposed, noise_model=noise_model),
        graph_pass(layers_as_maps),
        graph_pass(commute_sign),
        graph_pass(push_dequantize),
        graph_pass(lower_binary_products),
        graph_pass(lower_integer_layers),
        graph_pass(lower_binary_layers, noise_model=noise_model),
    ]


def threshold_passes(noise_model: NoiseModel | None = None) -> list[PassBase]:
    """Signs compare integer sums; what is left is cleaned up and named."""
    sampling: list[PassBase] = []
    weight_draws: list[PassBase] = []
    if noise_model is not None:
        sampling = [
            graph_pass(add_sampling_inputs),
            graph_pass(compare_with_noise, noise_model=noise_model),
        ]
        weight_draws = [graph_pass(store_weight_draws)]
    return [
        graph_pass(fold_levels),
        graph_pass(fold_thresholds),
        graph_pass(compare_pooled_sums),
        *sampling,
        graph_pass(remove_dead),  # batch norms that are now part of a threshold
        graph_pass(lower_batch_norms),
        *weight_draws,
        graph_pass(clean_up),
        graph_pass(name_values),
    ]


def check_operators(graph: Graph) -> None:
    """Check that a lowered graph holds only operators that an artifact can hold.

    Raises:
        UnsupportedError: As `lower`.
    """
    for node in graph.all_nodes():
        # A mark within a branch of an If, or within a loop, is in a graph of its own.
        is_known = node.domain == "" or (node.domain == DOMAIN and node.graph is graph)
        if not is_known:
            raise UnsupportedError(
                f"expected standard operators around bnnkit's layers, got {label(node)} of the "
                f"domain {node.domain!r}, or inside a branch"
            )
