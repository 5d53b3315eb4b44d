"""Lowering of a whole graph, node by node."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from bnnkit.artifact.format.graph import Graph, Node
from bnnkit.artifact.operators import operator_of_kind
from bnnkit.artifact.standard import STANDARD_OPERATORS, arguments
from bnnkit.errors import ArtifactError, BnnkitError, UnsupportedError
from bnnkit.runtime.lowering import signs
from bnnkit.runtime.lowering.binary_layers import (
    lower_binary_conv2d,
    lower_binary_conv2d_threshold,
    lower_binary_linear,
    lower_binary_weight,
)
from bnnkit.runtime.lowering.channels_last import lower_channels_last
from bnnkit.runtime.lowering.elementwise import lower_elementwise
from bnnkit.runtime.lowering.flatten import lower_flatten
from bnnkit.runtime.lowering.float_layers import lower_integer_layer, lower_real_layer
from bnnkit.runtime.lowering.heads import lower_heads
from bnnkit.runtime.lowering.kernel_forms import KernelForms, forms_of_this_cpu
from bnnkit.runtime.lowering.layer_norm import lower_layer_norm
from bnnkit.runtime.lowering.layouts import with_readable_inputs
from bnnkit.runtime.lowering.moved_reals import lower_moved_reals
from bnnkit.runtime.lowering.moved_signs import lower_move_of_signs, move_in_numpy
from bnnkit.runtime.lowering.noise import lower_stochastic_sign, lower_weight_draw, repeat_inputs
from bnnkit.runtime.lowering.numpy_operator import (
    lower_several_outputs,
    lower_to_numpy,
    shape_of_every_batch,
)
from bnnkit.runtime.lowering.placed_maps import lower_placed_maps
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.lowering.plane_patterns import LEVELS, PLANE_SUM, fuse_planes
from bnnkit.runtime.lowering.planes import lower_levels, lower_plane_sum
from bnnkit.runtime.lowering.pooling import lower_pooling
from bnnkit.runtime.lowering.products import lower_binary_mat_mul, lower_sums_of_signs
from bnnkit.runtime.lowering.recurrent import lower_recurrent
from bnnkit.runtime.lowering.sequences import lower_sequence_layer
from bnnkit.runtime.lowering.split import lower_split
from bnnkit.runtime.lowering.views import lower_view
from bnnkit.runtime.lowering.volumes import lower_volume_layer
from bnnkit.runtime.memory.shared_weights import SharedWeights
from bnnkit.runtime.memory.values import Value

LOWERINGS: dict[str, Callable[[PlanBuilder, Node], None]] = {
    "bnnkit.Sign": signs.lower_sign,
    "bnnkit.Threshold": signs.lower_threshold,
    "bnnkit.BinaryConv2d": lower_binary_conv2d,
    "bnnkit.BinaryConv2dThreshold": lower_binary_conv2d_threshold,
    "bnnkit.BinaryLinear": lower_binary_linear,
    "bnnkit.BinaryMatMul": lower_binary_mat_mul,
    "bnnkit.IntegerConv2d": lower_integer_layer,
    "bnnkit.IntegerLinear": lower_integer_layer,
    "bnnkit.BinaryWeight": lower_binary_weight,
    "bnnkit.StochasticSign": lower_stochastic_sign,
    "bnnkit.WeightDraw": lower_weight_draw,
}

FUSED_LOWERINGS: dict[str, Callable[[PlanBuilder, Node], bool]] = {
    LEVELS: lower_levels,
    PLANE_SUM: lower_plane_sum,
}
"""Lowerings of groups of nodes; each returns whether its kernels support the form of the group."""

PARTIAL_LOWERINGS: tuple[Callable[[PlanBuilder, Node], bool], ...] = (
    lower_split,
    lower_recurrent,
    lower_several_outputs,
    lower_view,
    signs.lower_sign_move,
    lower_move_of_signs,
    lower_sums_of_signs,
    lower_moved_reals,
    lower_channels_last,
    lower_placed_maps,
    lower_pooling,
    lower_flatten,
    lower_sequence_layer,
    lower_volume_layer,
    lower_real_layer,
    lower_elementwise,
    lower_layer_norm,
    lower_heads,
)
"""Lowerings to kernels that support some forms of an operator; NumPy computes the rest.

Each returns whether it lowered the node.
"""


def fused_graph(graph: Graph, forms: KernelForms) -> Graph:
    """Return the graph with groups of nodes in place of those that one kernel computes."""
    if not forms.has_levels:
        return graph
    return fuse_planes(graph, multiplies=forms.binary == "popcount")


def lower(
    graph: Graph,
    weight_draw: int = 0,
    shared: SharedWeights | None = None,
    forms: KernelForms | None = None,
) -> PlanBuilder:
    """Lower a graph to steps.

    Args:
        graph: The network.
        weight_draw: Index of the stored draw of the weights; 0 where none are stored.
        shared: Weights of the network's other plans; None if there are none.
        forms: The forms of the kernels; None for those of this CPU.

    Raises:
        UnsupportedError: If an operator or an option is unknown; the message names the node.
        ArtifactError: If the file is inconsistent; the message names the node.
    """
    forms = forms or forms_of_this_cpu()
    graph = fused_graph(graph, forms)
    builder = PlanBuilder(
        graph=graph,
        weight_draw=weight_draw,
        forms=forms,
        kernel_weights=shared or SharedWeights(),
    )
    for one in graph.inputs:
        builder.values[one.name] = Value(kind="image", shape=one.shape, dtype=one.dtype)
    for node in graph.nodes:
        if node.name not in builder.done:
            with _naming_node(node):
                _lower(builder, node)
    for name in graph.outputs:
        if name in builder.moved:
            move_in_numpy(builder, name)
        if builder.kind(name) == "shape":
            builder.constants[name] = shape_of_every_batch(builder, name)
        if name not in builder.values and name not in builder.constants:
            raise ArtifactError(f"expected a node that computes the output {name!r}")
        if builder.kind(name) == "signs" and builder.values[name].layout == "onnx":
            with (
                _recording_noise_dependence(builder)
                if name in builder.noise_dependent
                else nullcontext()
            ):
                builder.packed_signs(name)
    return builder


@contextmanager
def _naming_node(node: Node) -> Iterator[None]:
    """Add the node's name to errors that lack it."""
    try:
        yield
    except BnnkitError as error:
        if repr(node.name) in str(error):
            raise
        kind = UnsupportedError if isinstance(error, UnsupportedError) else ArtifactError
        raise kind(f"node {node.name!r} ({node.kind}): {error}") from error


def _lower(builder: PlanBuilder, node: Node) -> None:
    """Lower a node and record which values depend on the noise.

    A lowering of a sampled operator records them itself.
    """
    operator = operator_of_kind(node.kind)
    is_sampled = operator is not None and operator.is_sampled
    node = with_readable_inputs(builder, node)
    if not is_sampled and any(name in builder.noise_dependent for name in node.inputs):
        node = repeat_inputs(builder, node)
        with _recording_noise_dependence(builder):
            _lower_node(builder, node)
    else:
        _lower_node(builder, node)


def _fold(builder: PlanBuilder, node: Node) -> bool:
    """Compute a node of bnnkit's operators with signs or sums of constants; False for others."""
    operator = operator_of_kind(node.kind)
    if operator is None or operator.is_sampled or operator.takes == "packed weights":
        return False
    if not all(name in builder.constants for name in node.inputs):
        return False
    inputs = [builder.constants[name] for name in node.inputs]
    (builder.constants[node.outputs[0]],) = operator.reference(*inputs, **node.attributes)
    return True


@contextmanager
def _recording_noise_dependence(builder: PlanBuilder) -> Iterator[None]:
    """Mark all values and constants added in this context as dependent on the noise."""
    known = builder.values.keys() | builder.constants.keys()
    yield
    builder.noise_dependent |= (builder.values.keys() | builder.constants.keys()) - known


def _lower_node(builder: PlanBuilder, node: Node) -> None:
    if _fold(builder, node):
        return
    if node.kind in LOWERINGS:
        LOWERINGS[node.kind](builder, node)
    elif node.kind in FUSED_LOWERINGS:
        if not FUSED_LOWERINGS[node.kind](builder, node):
            for part in node.attributes["nodes"]:
                if part.name not in builder.done:
                    _lower_node(builder, part)
    elif (
        not any(name in builder.values or name in builder.time_first for name in node.inputs)
        and node.kind in STANDARD_OPERATORS
    ):
        inputs = arguments([builder.constants.get(name) for name in node.inputs])
        builder.constants[node.outputs[0]] = STANDARD_OPERATORS[node.kind](
            node.attributes, *inputs
        )
    elif not any(lowers(builder, node) for lowers in PARTIAL_LOWERINGS):
        if node.kind not in STANDARD_OPERATORS:
            raise UnsupportedError(
                f"node {node.name!r} is a {node.kind}, an operator that bnnkit's runtime lacks"
            )
        lower_to_numpy(builder, node)
