"""Lowering of layers whose weights and inputs are signs."""

from dataclasses import replace

import numpy as np

from bnnkit.bits import n_words, pack_signs, unpack_weight
from bnnkit.runtime import weights
from bnnkit.runtime.cpu import binary_form
from bnnkit.runtime.graph import Node
from bnnkit.runtime.kernels.lookup import MOST_TAPS
from bnnkit.runtime.lowering.draft import Draft, Pads
from bnnkit.runtime.lowering.layer import (
    NO_PADS,
    Layer,
    add_layer,
    check_inputs_of,
    check_outputs_of,
    window_of,
)
from bnnkit.runtime.lowering.output import Output, signs_of, sums_of
from bnnkit.runtime.steps.convolution import Constants, Window
from bnnkit.runtime.steps.signs import AlignGroups
from bnnkit.runtime.values import Array, Kind, Margin, Value


def binary_conv2d(draft: Draft, node: Node) -> None:
    """BinaryConv2d, with what its kernel can do at once."""
    _binary_conv2d(draft, node, sums_of(draft, node, node.attributes["weight_shape"][0], rank=3))


def binary_conv2d_threshold(draft: Draft, node: Node) -> None:
    """BinaryConv2dThreshold, with the pooling behind it if it is a plain one."""
    _binary_conv2d(draft, node, signs_of(draft, node, draft.constant(node, 2)))


def _binary_conv2d(draft: Draft, node: Node, output: Output) -> None:
    signs = unpack_weight(draft.constant(node, 1), tuple(node.attributes["weight_shape"]))
    source, ones = draft.padded.get(node.inputs[0], (node.inputs[0], NO_PADS))
    source = draft.signs(source)
    _add(draft, node, source, signs, ones, output)


def binary_linear(draft: Draft, node: Node) -> None:
    """BinaryLinear: a convolution as large as the map that was flattened, 1x1 for a vector."""
    signs = unpack_weight(draft.constant(node, 1), tuple(node.attributes["weight_shape"]))
    source = draft.signs(draft.flattened.get(node.inputs[0], node.inputs[0]))
    channels, height, width = draft.values[source].map
    check_inputs_of(node, signs.shape[1], channels * height * width)
    # ONNX flattens (C, H, W); packed maps are (H, W, C).
    signs = signs.reshape(len(signs), channels, height, width).transpose(0, 2, 3, 1)
    _add(draft, node, source, signs, NO_PADS, sums_of(draft, node, len(signs), rank=1))


def _add(draft: Draft, node: Node, source: str, signs: Array, ones: Pads, output: Output) -> None:
    """Append the layer with weights (O, KH, KW, I/G) over a map that `ones` pads with +1."""
    groups = node.attributes.get("group", 1)
    check_inputs_of(node, signs.shape[3] * groups, draft.values[source].map[0])
    check_outputs_of(node, len(signs), groups, output)
    size = (signs.shape[1], signs.shape[2])
    window, pads = window_of(node, draft.values[source], size, ones)
    sums, cases = _sums_without_difference(draft.values[source], signs, window, pads, ones)
    if groups > 1 and signs.shape[3] % 64:
        source = _align_groups(draft, node, source, groups)
    draft.values[source].margin.widen(*pads)

    weight, elements, group_elements = _kernel_weight(signs)
    lanes = weights.LANES[weight.dtype]

    def constants(kind: Kind, part: slice) -> Constants:
        if kind == "signs" and output.thresholds is not None:
            return Constants(table=weights.limits(sums[:, part], output.thresholds[part], lanes))
        scale = None if output.scale is None else weights.scales(output.scale[:, part], lanes)
        return Constants(table=weights.bases(sums[:, part], lanes), scale=scale)

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
    add_layer(draft, node, layer, output)


def _kernel_weight(signs: Array) -> tuple[Array, int, int]:
    """Weights for this CPU's kernel, and what `Layer` calls elements and group_elements."""
    taps = int(np.prod(signs.shape[1:]))
    words = n_words(signs.shape[3])
    if binary_form() == "lookup" and taps <= MOST_TAPS:
        return weights.nibbles(signs), -(-signs.shape[3] // 8), 8 * words
    return pack_signs(signs).reshape(len(signs), -1), words, words


def _align_groups(draft: Draft, node: Node, source: str, groups: int) -> str:
    """Append a copy of the signs in which every group starts at a word."""
    value = draft.values[source]
    channels = groups * n_words(value.map[0] // groups) * 64
    step = AlignGroups(name=node.name, source=source, target=f"{node.name}/groups", groups=groups)
    draft.add(step, replace(value, shape=(channels, *value.map[1:]), margin=Margin()))
    return step.target


def _sums_without_difference(
    source: Value, signs: Array, window: Window, pads: Pads, ones: Pads
) -> tuple[Array, Array]:
    """The sum of each channel where no sign differs from its weight, by border case.

    Returns:
        int64 (cases, O), and int64 (OH, OW), the case of each pixel.
    """
    # Padding with +1 belongs to the map; only zeros are outside.
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
    sums = int(np.prod(signs.shape[1:])) - weights.padding_sums(signs, rows[1], columns[1])
    cases = rows[0][:, None] * len(columns[1]) + columns[0][None, :]
    return sums, np.ascontiguousarray(cases)
