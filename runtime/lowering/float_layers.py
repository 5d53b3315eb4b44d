"""Lowering of layers whose inputs are 8-bit images or real numbers."""

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.lowering.epilogue import Epilogue, layer_epilogue
from bnnkit.runtime.lowering.kernel_forms import IntegerForm
from bnnkit.runtime.lowering.layer import (
    Layer,
    add_layer,
    check_inputs_of,
    check_outputs_of,
    window_of,
)
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory import weights
from bnnkit.runtime.memory.values import FLOAT, Array, Kind, Value
from bnnkit.runtime.steps.convolution import EpilogueConstants
from bnnkit.runtime.steps.depthwise import Depthwise
from bnnkit.runtime.steps.real import Centre, CopyReal

MIDDLE = 128
"""What is subtracted from pixels so that they fit into int8."""
MAX_SUM = 2**24
"""Sums of integer layers are smaller."""


def lower_integer_layer(builder: PlanBuilder, node: Node) -> None:
    """Lower an IntegerConv2d or IntegerLinear: exact, as every partial sum is below 2^24."""
    image = builder.values[node.inputs[0]]
    weight = builder.constant(node, 1)
    form = _integer_form(builder, node, weight)
    zero_point = np.broadcast_to(builder.constant(node, 2).reshape(-1), image.map[0])
    centre, value = _centred(node, image, zero_point, form)
    builder.add(centre, value)
    epilogue = layer_epilogue(builder, node, len(weight), rank=3 if weight.ndim == 4 else 1)
    weight = weight.astype(FLOAT if form == "floats" else np.int16)
    rest = _rest_of_sums(node, weight, zero_point) if form == "byte panels" else None
    _add(builder, node, centre.target, weight, epilogue, form, rest)


def _integer_form(builder: PlanBuilder, node: Node, weight: Array) -> IntegerForm:
    """Return the form of the layer: that of the CPU, unless the layer does not fit it."""
    form = builder.forms.integer
    if form == "pairs" and not _has_runs(node):
        return "floats"
    if form == "byte panels" and int(weight.max(initial=0)) > weights.MOST_SPLIT:
        return "short panels"
    return form


def _has_runs(node: Node) -> bool:
    """Whether the taps of a kernel row are contiguous in a tight map."""
    dilations = node.attributes.get("dilations", (1, 1))
    return bool(node.attributes.get("group", 1) == 1 and dilations[1] == 1)


def _centred(
    node: Node, image: Value, zero_point: Array, form: IntegerForm
) -> tuple[Centre, Value]:
    """Return the step that subtracts zero points, or 128 for int8 taps, and its value."""
    is_bytes = form == "byte panels"
    dtype = np.dtype(np.int8 if is_bytes else FLOAT if form == "floats" else np.int16)
    subtracted = np.full(len(zero_point), MIDDLE) if is_bytes else zero_point
    step = Centre(
        name=node.name,
        source=node.inputs[0],
        target=f"{node.name}/centred",
        zero_point=subtracted.astype(np.float32),
    )
    border = tuple((zero_point.astype(int) - MIDDLE).tolist()) if is_bytes else None
    value = Value(kind="real", shape=image.map, dtype=dtype, is_tight=True, border=border)
    return step, value


def _rest_of_sums(node: Node, weight: Array, zero_point: Array) -> Array:
    """Return what sums of weight * (pixel - 128) lack, int64 (O,): weight * (128 - zero point)."""
    groups = node.attributes.get("group", 1)
    taps = weight.astype(np.int64).reshape(groups, -1, *weight.shape[1:2], weight[0, 0].size)
    missing = MIDDLE - zero_point.astype(np.int64).reshape(groups, 1, -1, 1)
    rest: Array = (taps * missing).sum(axis=(2, 3)).reshape(-1)
    return rest


def lower_real_layer(builder: PlanBuilder, node: Node) -> bool:
    """Lower a Conv, Gemm or MatMul with constant weights.

    Returns:
        Whether the kernel supports this form of the operator.
    """
    if node.kind not in ("Conv", "Gemm", "MatMul"):
        return False
    constants = builder.constants
    given = [name for name in node.inputs[1:] if name]
    if node.inputs[0] in constants or any(name not in constants for name in given):
        return False
    if constants[node.inputs[1]].dtype != FLOAT:
        if node.kind == "Conv":
            raise UnsupportedError(
                f"node {node.name!r} (Conv): expected a convolution of float32 numbers, got"
                f" {constants[node.inputs[1]].dtype}"
            )
        return False
    weight = _weight(builder, node)
    bias = constants[node.inputs[2]] if len(given) > 1 else np.zeros(1, np.float32)
    if node.kind == "Conv":
        if weight.ndim != 4:
            raise UnsupportedError(
                f"node {node.name!r} (Conv): expected a convolution of images,"
                f" got weights of shape {weight.shape}"
            )
    elif not _is_dense(builder, node, weight, bias):
        return False
    elif not node.attributes.get("transB"):  # MatMul has no such attribute
        weight = weight.T
    bias = np.broadcast_to(bias.reshape(-1), len(weight))
    if _is_depthwise(builder, node, weight):
        _add_depthwise(builder, node, weight, bias)
        return True
    scale = np.stack([np.ones(len(weight)), bias]).astype(np.float32)
    epilogue = Epilogue(name=node.outputs[0], kind="real", scale=scale)
    _add(builder, node, _float_input(builder, node), weight, epilogue)
    return True


def _weight(builder: PlanBuilder, node: Node) -> Array:
    """Return the weights, int8 if they are signs that stay packed.

    Packed weights need AVX-512, whose vectors hold all sixteen sums of the lookup; elsewhere
    float32 is faster.
    """
    name = node.inputs[1]
    if name in builder.binary_weights and builder.forms.signed == "octets":
        return builder.binary_weights[name]
    return builder.constants[name]


def _is_dense(builder: PlanBuilder, node: Node, weight: Array, bias: Array) -> bool:
    """Whether a Gemm or MatMul computes x W + b of vectors."""
    is_plain = node.attributes.get("alpha", 1.0) == node.attributes.get("beta", 1.0) == 1.0
    is_vector = len(builder.values[node.inputs[0]].shape) == 1 and weight.ndim == 2
    has_bias_row = bias.size == bias.shape[-1] if bias.ndim else True
    return is_plain and is_vector and has_bias_row and not node.attributes.get("transA")


def _is_depthwise(builder: PlanBuilder, node: Node, weight: Array) -> bool:
    """Whether a convolution maps each channel to one channel."""
    channels = builder.values[node.inputs[0]].map[0]
    groups = node.attributes.get("group", 1)
    return weight.ndim == 4 and weight.shape[1] == 1 < groups == channels == len(weight)


def _add_depthwise(builder: PlanBuilder, node: Node, weight: Array, bias: Array) -> None:
    """Append a depthwise convolution with weights (C, 1, KH, KW)."""
    source = _float_input(builder, node)
    window, pads = window_of(node, builder.values[source], (weight.shape[2], weight.shape[3]))
    builder.values[source].margin.widen(*pads)
    (padded_bias,) = weights.scales(bias[None].astype(np.float32), 16)
    lanes = weights.depthwise_lanes(weight[:, 0].astype(np.float32))
    step = Depthwise(
        name=node.name,
        source=source,
        target=node.outputs[0],
        window=window,
        weights=builder.kernel_weights.shared(lanes),
        bias=padded_bias,
    )
    builder.add(step, Value(kind="real", shape=(len(weight), *window.output)))


def _float_input(builder: PlanBuilder, node: Node) -> str:
    """Return the name of the node's input as float32 in NHWC, copied if needed."""
    source = node.inputs[0]
    value = builder.values[source]
    if value.kind == "real" and value.dtype == FLOAT:
        return source
    copy = CopyReal(name=node.name, source=source, target=f"{node.name}/padded")
    builder.add(copy, Value(kind="real", shape=value.shape, is_tight=True))
    return copy.target


def _add(
    builder: PlanBuilder,
    node: Node,
    source: str,
    weight: Array,
    epilogue: Epilogue,
    form: IntegerForm = "floats",
    rest: Array | None = None,
) -> None:
    """Append a layer.

    Args:
        builder: The plan under construction.
        node: The node with the window and the number of groups.
        source: Name of the input, float32, int16 or int8 in NHWC.
        weight: (O, I/G, KH, KW) or (O, I).
        epilogue: The output.
        form: How the numbers are multiplied.
        rest: int64 (O,), what the kernel's sums lack.
    """
    is_map = weight.ndim == 4
    weight = weight.reshape(*weight.shape, *(1,) * (4 - weight.ndim))
    groups = node.attributes.get("group", 1)
    check_inputs_of(node, weight.shape[1] * groups, builder.values[source].map[0])
    check_outputs_of(node, len(weight), groups, epilogue)
    size = (weight.shape[2], weight.shape[3])
    window, pads = window_of(node, builder.values[source], size)
    builder.values[source].margin.widen(*pads)
    sums = np.dtype(np.int32) if weight.dtype == np.int16 else FLOAT

    def constants(kind: Kind, part: slice) -> EpilogueConstants:
        if kind == "signs" and epilogue.thresholds is not None:
            thresholds = epilogue.thresholds[part]
            reduced = thresholds if rest is None else _reduced(thresholds, rest[part])
            return EpilogueConstants(
                table=weights.thresholds_of(reduced, sums), thresholds=thresholds
            )
        scale = None if epilogue.scale is None else weights.scales(epilogue.scale[:, part], 16)
        added = np.zeros(0, np.int64) if rest is None else rest[part]
        return EpilogueConstants(table=weights.bases(added[None], 16), scale=scale)

    layer = Layer(
        source=source,
        window=window,
        is_map=is_map,
        groups=groups,
        weight=_kernel_weight(weight.transpose(0, 2, 3, 1), form, has_runs=_has_runs(node)),
        elements=weight.shape[1],
        group_elements=weight.shape[1],
        cases=np.zeros(window.output, np.int64),
        constants=constants,
    )
    add_layer(builder, node, layer, epilogue)


def _reduced(thresholds: Array, rest: Array) -> Array:
    """Subtract what the sums lack from their thresholds; no sum reaches +-2^24."""
    return np.clip(thresholds.astype(np.int64), -MAX_SUM, MAX_SUM) - rest


def _kernel_weight(weight: Array, form: IntegerForm, *, has_runs: bool) -> Array:
    """Convert weights (O, KH, KW, I/G) to the form of their kernel."""
    if weight.dtype == np.int8:
        return weights.octets(weight)
    if form == "pairs":
        return weights.pairs(weight)
    if form == "short panels":
        return weights.panel_taps(weight, has_runs=has_runs, multiple=2)
    if form == "byte panels":
        return weights.quads(weights.panel_taps(weight, has_runs=has_runs, multiple=4))
    rows = weight.reshape(len(weight), -1)
    return rows if form == "shorts" else rows.astype(np.float32)
