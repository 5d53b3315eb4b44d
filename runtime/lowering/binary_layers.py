"""Lowering of layers whose weights and inputs are signs."""

from dataclasses import replace

import numpy as np

from bnnkit.artifact.format.bits import n_words, pack_signs, unpack_weight
from bnnkit.artifact.format.graph import Node
from bnnkit.runtime.kernels import lookup, panel
from bnnkit.runtime.lowering.bit_sliced import GroupedLayer, add_bit_sliced, is_bit_sliced
from bnnkit.runtime.lowering.epilogue import Epilogue, layer_epilogue, threshold_epilogue
from bnnkit.runtime.lowering.kernel_forms import KernelForms
from bnnkit.runtime.lowering.layer import (
    NO_PADS,
    Layer,
    add_layer,
    check_inputs_of,
    check_outputs_of,
    window_of,
)
from bnnkit.runtime.lowering.plan_builder import Pads, PlanBuilder
from bnnkit.runtime.memory import weights
from bnnkit.runtime.memory.packed_weight import PackedWeight
from bnnkit.runtime.memory.values import Array, Kind, Margin, Value
from bnnkit.runtime.steps.convolution import EpilogueConstants
from bnnkit.runtime.steps.signs import AlignGroups, UnpackNibbles
from bnnkit.runtime.steps.window import KernelWindow


def lower_binary_conv2d(builder: PlanBuilder, node: Node) -> None:
    """Lower a BinaryConv2d and the nodes behind it that its epilogue computes."""
    _binary_conv2d(
        builder, node, layer_epilogue(builder, node, node.attributes["weight_shape"][0], rank=3)
    )


def lower_binary_conv2d_threshold(builder: PlanBuilder, node: Node) -> None:
    """Lower a BinaryConv2dThreshold, together with a 2x2 max-pooling behind it."""
    _binary_conv2d(builder, node, threshold_epilogue(builder, node, builder.constant(node, 2)))


def _binary_conv2d(builder: PlanBuilder, node: Node, epilogue: Epilogue) -> None:
    weight = PackedWeight(
        packed=builder.constant(node, 1), shape=tuple(node.attributes["weight_shape"])
    )
    source, ones = builder.padded.get(node.inputs[0], (node.inputs[0], NO_PADS))
    source = builder.packed_signs(source)
    _add(builder, node, source, weight, ones, epilogue)


def lower_binary_linear(builder: PlanBuilder, node: Node) -> None:
    """Lower a BinaryLinear: a convolution as large as the flattened map, 1x1 for a vector."""
    outputs, inputs = node.attributes["weight_shape"]
    source = builder.packed_signs(builder.flattened.get(node.inputs[0], node.inputs[0]))
    channels, height, width = builder.values[source].map
    check_inputs_of(node, inputs, channels * height * width)
    weight = PackedWeight(
        packed=builder.constant(node, 1),
        shape=(outputs, height, width, channels),
        is_chw=True,  # ONNX flattens (C, H, W), packed maps are (H, W, C)
    )
    _add(builder, node, source, weight, NO_PADS, layer_epilogue(builder, node, outputs, rank=1))


def _add(
    builder: PlanBuilder,
    node: Node,
    source: str,
    packed: PackedWeight,
    ones: Pads,
    epilogue: Epilogue,
) -> None:
    """Append a layer with weights (O, KH, KW, I/G) over a map padded with +1 by `ones`."""
    groups = node.attributes.get("group", 1)
    channels, height, width, inputs = packed.shape
    check_inputs_of(node, inputs * groups, builder.values[source].map[0])
    check_outputs_of(node, channels, groups, epilogue)
    size = (height, width)
    window, pads = window_of(node, builder.values[source], size, ones)
    sums, cases = base_sums(builder.values[source], packed, window, pads, ones)
    grouped = GroupedLayer(
        source=source,
        groups=groups,
        packed=packed,
        window=window,
        pads=pads,
        sums=sums,
        cases=cases,
    )
    if is_bit_sliced(builder, grouped):
        add_bit_sliced(builder, node, grouped, epilogue)
        return
    if groups > 1 and inputs % 64:
        source = _align_groups(builder, node, source, groups)
    builder.values[source].margin.widen(*pads)

    weight, elements, group_elements = _kernel_weight(packed, builder.forms)
    if weight.dtype == np.uint8 and builder.forms.binary == "lookup":
        source = _unpack_nibbles(builder, node, source)
    lanes = weights.LANES[weight.dtype]

    def constants(kind: Kind, part: slice) -> EpilogueConstants:
        if kind == "signs" and epilogue.thresholds is not None:
            thresholds = epilogue.thresholds[part]
            return EpilogueConstants(
                table=_limits(weight, sums[:, part], thresholds),
                sums=sums[:, part],
                thresholds=thresholds,
            )
        scale = None if epilogue.scale is None else weights.scales(epilogue.scale[:, part], lanes)
        table = weights.bases(sums[:, part] + epilogue.shift, lanes)
        return EpilogueConstants(
            table=table,
            scale=scale,
            limits=epilogue.limits,
            sums=sums[:, part],
            shift=epilogue.shift,
        )

    layer = Layer(
        source=source,
        window=window,
        is_map=node.kind != "bnnkit.BinaryLinear",
        groups=groups,
        weight=weight,
        elements=elements,
        group_elements=group_elements,
        cases=cases,
        constants=constants,
    )
    add_layer(builder, node, layer, epilogue)


def _limits(weight: Array, sums: Array, thresholds: Array) -> Array:
    """Build the table with which the kernel of these weights compares its counts."""
    if weight.dtype == np.int64:
        return weights.panel_limits(sums, thresholds)
    return weights.limits(sums, thresholds, weights.LANES[weight.dtype])


def _kernel_weight(packed: PackedWeight, forms: KernelForms) -> tuple[Array, int, int]:
    """Return the weights for the kernel, and `elements` and `group_elements` of Layer."""
    _, height, width, inputs = packed.shape
    words, taps = n_words(inputs), height * width * inputs
    if forms.binary == "bytes":
        octets = [weights.octets(signs).view(np.uint8) for signs in packed.chunks()]
        return np.concatenate(octets), -(-inputs // 8), 8 * words
    if forms.binary == "lookup" and taps <= lookup.MOST_TAPS:
        nibbles = [weights.nibbles(signs) for signs in packed.chunks()]
        return np.concatenate(nibbles), 2 * -(-inputs // 8), 16 * words
    rows = [pack_signs(signs).reshape(len(signs), -1) for signs in packed.chunks()]
    weight = np.concatenate(rows)
    if forms.binary == "panel" and taps <= panel.MOST_TAPS:
        return weight.view(np.int64), words, words
    return weight, words, words


def _unpack_nibbles(builder: PlanBuilder, node: Node, source: str) -> str:
    """Append the unpacking of signs to nibbles, once for all layers that read them.

    Signs and nibbles share a margin.
    """
    target = f"{source}/nibbles"
    if target not in builder.values:
        step = UnpackNibbles(name=node.name, source=source, target=target)
        builder.add(step, replace(builder.values[source], kind="nibbles"))
    return target


def _align_groups(builder: PlanBuilder, node: Node, source: str, groups: int) -> str:
    """Append a copy of the signs in which every group starts at a word."""
    value = builder.values[source]
    channels = groups * n_words(value.map[0] // groups) * 64
    step = AlignGroups(name=node.name, source=source, target=f"{node.name}/groups", groups=groups)
    builder.add(step, replace(value, shape=(channels, *value.map[1:]), margin=Margin()))
    return step.target


def base_sums(
    source: Value, packed: PackedWeight, window: KernelWindow, pads: Pads, ones: Pads
) -> tuple[Array, Array]:
    """Compute the sum of each channel if no sign differs from its weight, for each border case.

    Returns:
        int64 (cases, O), and int64 (OH, OW), the border case of each pixel.
    """
    # Padding with +1 counts as part of the map: only zero padding is outside.
    rows, columns = (
        weights.border_cases(
            inputs=source.map[1 + i] + ones[i] + ones[i + 2],
            outputs=window.output[i],
            taps=window.size[i],
            stride=window.stride[i],
            dilation=window.dilation[i],
            padding=pads[i] - ones[i],
        )
        for i in range(2)
    )
    outside = [weights.padding_sums(s, rows[1], columns[1]) for s in packed.chunks()]
    sums = int(np.prod(packed.shape[1:])) - np.concatenate(outside, axis=1)
    cases = rows[0][:, None] * len(columns[1]) + columns[0][None, :]
    return sums, np.ascontiguousarray(cases)


def lower_binary_weight(builder: PlanBuilder, node: Node) -> None:
    """Lower a BinaryWeight to a constant, in the layout of ONNX's Conv and Gemm."""
    weight = unpack_weight(builder.constant(node, 0), tuple(node.attributes["weight_shape"]))
    weight = np.moveaxis(weight, -1, 1)
    builder.binary_weights[node.outputs[0]] = weight
    builder.constants[node.outputs[0]] = weight.astype(np.float32)
