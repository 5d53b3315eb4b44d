"""Lowering of what multiplies: convolutions and dense layers, binary, integer and real."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnnkit.bits import n_words, pack_signs, unpack_weight
from bnnkit.errors import UnsupportedError
from bnnkit.runtime import weights
from bnnkit.runtime.draft import Draft, Pads
from bnnkit.runtime.graph import Node
from bnnkit.runtime.operators import pool_output
from bnnkit.runtime.steps.convolution import Convolution, Window
from bnnkit.runtime.steps.real import Centre, CopyReal
from bnnkit.runtime.steps.signs import AlignGroups, PackSigns
from bnnkit.runtime.values import Array, Value

NO_PADS: Pads = (0, 0, 0, 0)


def binary_conv2d(draft: Draft, node: Node) -> None:
    """BinaryConv2d, alone or with the Threshold that follows it, and BinaryConv2dThreshold."""
    signs = unpack_weight(draft.constant(node, 1), tuple(node.attributes["weight_shape"]))
    target, threshold = _with_threshold(draft, node)
    if len(node.inputs) > 2:
        threshold = draft.constant(node, 2)
    source, ones = draft.padded.get(node.inputs[0], (node.inputs[0], NO_PADS))
    _binary(draft, node, draft_signs(draft, source), signs, ones, target, threshold)


def binary_linear(draft: Draft, node: Node) -> None:
    """BinaryLinear: a 1x1 convolution, or one as large as the map that was flattened."""
    signs = unpack_weight(draft.constant(node, 1), tuple(node.attributes["weight_shape"]))
    target, threshold = _with_threshold(draft, node)
    source = draft.flattened.get(node.inputs[0], node.inputs[0])
    channels, height, width = draft.values[source].map
    # ONNX flattens (C, H, W); packed maps are (H, W, C).
    signs = signs.reshape(len(signs), channels, height, width).transpose(0, 2, 3, 1)
    _binary(draft, node, draft_signs(draft, source), signs, NO_PADS, target, threshold)


def draft_signs(draft: Draft, name: str) -> str:
    """The name, once the signs have a buffer."""
    draft.signs(name)
    return name


def _with_threshold(draft: Draft, node: Node) -> tuple[str, Array | None]:
    """Target and threshold, where a Threshold is all that reads the node's sums."""
    reader = draft.graph.sole_reader(node.outputs[0])
    if reader is None or reader.kind != "bnnkit.Threshold":
        return node.outputs[0], None
    draft.done.add(reader.name)
    return reader.outputs[0], draft.constant(reader, 1).reshape(-1)


def _binary(
    draft: Draft,
    node: Node,
    source: str,
    signs: Array,
    ones: Pads,
    target: str,
    threshold: Array | None,
) -> None:
    """Add the steps of a binary layer; `signs` are the weights (O, KH, KW, I/G)."""
    groups = node.attributes.get("group", 1)
    channels = len(signs) // groups
    window, pads, out = _window(node, draft.values[source], signs.shape[1:3], ones)
    vector = node.kind == "bnnkit.BinaryLinear"
    out_shape = (len(signs),) if vector else (len(signs), *out)
    if groups > 1 and signs.shape[3] % 64:
        source = _align_groups(draft, node, source, groups)
    draft.values[source].margin.widen(*pads)
    # A group's signs start at a byte, and its kernel may write a whole vector of them.
    packs = threshold is not None and (groups == 1 or channels % 64 == 0)
    written = target if packs or threshold is None else f"{target}/sums"
    table, cases = _binary_table(draft.values[source], signs, window, pads, ones, out)
    for group, part in enumerate(_groups(groups, channels)):
        sums = table[:, part]
        constants = weights.limits(sums, threshold[part]) if packs else _bases(sums)
        step = Convolution(
            name=node.name,
            source=source,
            target=written,
            window=window,
            weights=weights.lanes(pack_signs(signs[part]).reshape(channels, -1)),
            channels=channels,
            elements=n_words(signs.shape[3]),
            first_element=group * n_words(signs.shape[3]),
            first_channel=group * channels,
            table=constants,
            cases=cases,
        )
        value = Value(kind="signs" if packs else "sums", shape=out_shape, spare=_spare(groups))
        draft.add(step, value)
    if written != target:
        pack = PackSigns(name=node.name, source=written, target=target, thresholds=threshold)
        draft.add(pack, Value(kind="signs", shape=out_shape))


def _spare(groups: int) -> int:
    """The last group's kernel writes a whole vector, which must not reach the next pixel."""
    return 16 if groups > 1 else 0


def _groups(groups: int, channels: int) -> Iterator[slice]:
    return (slice(group * channels, (group + 1) * channels) for group in range(groups))


def _align_groups(draft: Draft, node: Node, source: str, groups: int) -> str:
    value = draft.values[source]
    aligned = f"{node.name}/groups"
    channels = groups * n_words(value.map[0] // groups) * 64
    step = AlignGroups(name=node.name, source=source, target=aligned, groups=groups)
    draft.add(step, replace(value, shape=(channels, *value.map[1:]), margin=type(value.margin)()))
    return aligned


def _binary_table(
    source: Value, signs: Array, window: Window, pads: Pads, ones: Pads, out: tuple[int, int]
) -> tuple[Array, Array]:
    """Sums at zero unlike signs for each border case, (cases, O), and the case of each pixel."""
    # What lies inside is the map with its padding of ones; only zeros are outside.
    size = [source.map[1 + i] + ones[i] + ones[i + 2] for i in range(2)]
    rows, columns = (
        weights.border_cases(
            size[i],
            out[i],
            window.size[i],
            window.stride[i],
            window.dilation[i],
            pads[i] - ones[i],
        )
        for i in range(2)
    )
    taps = int(np.prod(signs.shape[1:]))
    table = taps - weights.padding_sums(signs, rows[1], columns[1])
    cases = rows[0][:, None] * len(columns[1]) + columns[0][None, :]
    return table, np.ascontiguousarray(cases)


def _bases(sums: Array) -> Array:
    """The table of a kernel that writes sums, padded to vectors."""
    table = np.zeros((len(sums), weights.padded_channels(sums.shape[1], 8)), np.int32)
    table[:, : sums.shape[1]] = sums
    return table


def _window(
    node: Node, source: Value, size: tuple[int, ...], ones: Pads
) -> tuple[Window, Pads, tuple[int, int]]:
    """The kernel's movement, all padding together, and the output's height and width."""
    if node.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise UnsupportedError(
            f"node {node.name!r} ({node.kind}): expected explicit pads, got auto_pad"
        )
    down, right = node.attributes.get("strides", (1, 1))
    dilation = tuple(node.attributes.get("dilations", (1, 1)))
    zeros = node.attributes.get("pads", NO_PADS)
    top, left, bottom, after = (a + b for a, b in zip(zeros, ones, strict=True))
    _, height, width = source.map
    out = (
        pool_output(height, size[0], down, (top, bottom), dilation[0], ceil=False),
        pool_output(width, size[1], right, (left, after), dilation[1], ceil=False),
    )
    window = Window(
        size=(size[0], size[1]),
        stride=(down, right),
        dilation=(dilation[0], dilation[1]),
        padding=(top, left),
    )
    return window, (top, left, bottom, after), out


def integer_layer(draft: Draft, node: Node) -> None:
    """IntegerConv2d and IntegerLinear: exact in float32, because every partial sum is below 2^24."""
    weight = draft.constant(node, 1).astype(np.float32)
    weight = weight.reshape(*weight.shape, *(1,) * (4 - weight.ndim))
    image = draft.values[node.inputs[0]]
    zero_point = np.broadcast_to(draft.constant(node, 2).reshape(-1), image.map[0])
    centred = f"{node.name}/centred"
    draft.add(
        Centre(
            name=node.name,
            source=node.inputs[0],
            target=centred,
            zero_point=zero_point.astype(np.float32),
        ),
        Value(kind="real", shape=image.map),
    )
    target, threshold = _with_threshold(draft, node)
    kind = "sums" if threshold is None else "signs"
    _float(draft, node, centred, weight, target, kind, threshold)


def real_layer(draft: Draft, node: Node, weight: Array, bias: Array | None) -> None:
    """Conv, Gemm or MatMul with constant weights (O, I/G, KH, KW) or (O, I)."""
    weight = weight.astype(np.float32).reshape(*weight.shape, *(1,) * (4 - weight.ndim))
    source = node.inputs[0]
    value = draft.values[source]
    pads = any(node.attributes.get("pads", NO_PADS))
    if pads or value.kind != "real" or value.dtype != np.float32:
        copied = f"{node.name}/padded"
        shape = value.shape
        draft.add(
            CopyReal(name=node.name, source=source, target=copied), Value(kind="real", shape=shape)
        )
        source = copied
    bias = (
        np.zeros(len(weight), np.float32) if bias is None else bias.astype(np.float32).reshape(-1)
    )
    _float(draft, node, source, weight, node.outputs[0], "real", bias)


def _float(
    draft: Draft,
    node: Node,
    source: str,
    weight: Array,
    target: str,
    kind: str,
    constants: Array | None,
) -> None:
    """Add the steps of a layer whose inputs are float32; `weight` is (O, I/G, KH, KW)."""
    groups = node.attributes.get("group", 1)
    channels = len(weight) // groups
    window, pads, out = _window(node, draft.values[source], weight.shape[2:], NO_PADS)
    draft.values[source].margin.widen(*pads)
    shape = (len(weight), *out) if node.kind.endswith(("Conv", "Conv2d")) else (len(weight),)
    packs = kind == "signs" and (groups == 1 or channels % 64 == 0)
    written = f"{target}/sums" if kind == "signs" and not packs else target
    written_kind = "sums" if written != target else kind
    for group, part in enumerate(_groups(groups, channels)):
        taps = weight[part].transpose(0, 2, 3, 1).reshape(channels, -1)
        step = Convolution(
            name=node.name,
            source=source,
            target=written,
            window=window,
            weights=weights.lanes(taps),
            channels=channels,
            elements=weight.shape[1],
            first_element=group * weight.shape[1],
            first_channel=group * channels,
            table=_float_table(written_kind, constants, part, channels),
            cases=np.zeros(out, np.int64),
        )
        draft.add(step, Value(kind=written_kind, shape=shape, spare=_spare(groups)))
    if written != target:
        pack = PackSigns(name=node.name, source=written, target=target, thresholds=constants)
        draft.add(pack, Value(kind="signs", shape=shape))


def _float_table(kind: str, constants: Array | None, part: slice, channels: int) -> Array:
    """Thresholds (padding channels are never below theirs), biases, or nothing for sums."""
    padded = weights.padded_channels(channels, 16)
    if kind == "sums":
        return np.zeros((1, padded), np.int32)
    table = np.full((1, padded), -np.inf if kind == "signs" else 0, np.float32)
    table[0, :channels] = constants[part]
    return table
