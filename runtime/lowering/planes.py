"""Lowering of activations with few bits, and of layers over their bit planes."""

from dataclasses import replace

import numpy as np

from bnnkit.artifact.format.bits import n_words, pack_signs
from bnnkit.artifact.format.graph import Node
from bnnkit.runtime.kernels.levels import plane_count
from bnnkit.runtime.lowering.binary_layers import base_sums
from bnnkit.runtime.lowering.constants import per_channel
from bnnkit.runtime.lowering.layer import NO_PADS, check_inputs_of, window_of
from bnnkit.runtime.lowering.plan_builder import Pads, PlanBuilder
from bnnkit.runtime.memory import weights
from bnnkit.runtime.memory.packed_weight import PackedWeight
from bnnkit.runtime.memory.values import FLOAT, Array, Margin, Value
from bnnkit.runtime.steps.convolution import Convolution, EpilogueConstants
from bnnkit.runtime.steps.planes import Levels, PackLevels, PlaneConvolution
from bnnkit.runtime.steps.real import CopyReal

_LANES = 8
"""Output channels per vector of 64-bit counts."""


def lower_levels(builder: PlanBuilder, node: Node) -> bool:
    """Lower the thresholds of a map or vector to the planes of its levels.

    Returns:
        Whether the kernel supports their form.
    """
    source = node.inputs[0]
    value = builder.values.get(source)
    if value is None or len(value.shape) not in (1, 3) or value.kind not in ("real", "sums"):
        return False
    is_integer = value.kind == "sums" or value.dtype == np.int32
    dtype = np.dtype(np.int32) if is_integer else FLOAT
    thresholds = _table(node.attributes["thresholds"], value.shape, dtype)
    if thresholds is None or plane_count(len(thresholds)) != len(node.outputs):
        return False
    if value.kind == "real" and value.dtype != dtype:
        return False
    if value.kind == "real" and value.is_tight:
        copy = CopyReal(name=node.name, source=source, target=f"{node.name}/stored")
        builder.add(copy, Value(kind="real", shape=value.shape, dtype=dtype))
        source = copy.target
    step = PackLevels(
        name=node.name,
        source=source,
        target=node.outputs[0],
        levels=Levels(thresholds=thresholds, targets=node.outputs),
    )
    _add_planes(builder, step, node.outputs, value.shape)
    return True


def _add_planes(
    builder: PlanBuilder,
    step: PackLevels | PlaneConvolution,
    names: tuple[str, ...],
    shape: tuple[int, ...],
) -> None:
    """Append a step that writes planes, which share the size of their margin."""
    margin = Margin()
    builder.add(step, Value(kind="signs", shape=shape, margin=margin))
    for name in names[1:]:
        builder.values[name] = Value(kind="signs", shape=shape, margin=margin)


def _table(
    thresholds: tuple[Array, ...], shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> Array | None:
    """Return the thresholds as (L, C); None if they do not fit the numbers."""
    rows = []
    for threshold in thresholds:
        if threshold.dtype.kind != dtype.kind:
            return None
        flat = threshold.reshape(-1, *[1] * (len(shape) - 1)) if dtype.kind == "i" else threshold
        row = None
        if flat.ndim <= len(shape) + 1:
            row = per_channel(flat, shape[0], len(shape))
        if row is None:
            return None
        rows.append(row)
    return np.array(rows).astype(dtype)


def lower_plane_sum(builder: PlanBuilder, node: Node) -> bool:
    """Lower a layer over bit planes, and the levels of its totals, to one kernel.

    Returns:
        Whether the kernel supports their form.
    """
    layer: Node = node.attributes["layers"][0]
    is_map = layer.kind == "bnnkit.BinaryConv2d"
    planes = _planes(builder, node.inputs[:-1], is_map=is_map)
    if planes is None:
        return False
    sources, ones = planes
    packed = _weight(builder, layer, sources[0], is_map=is_map)
    channels, height, width, inputs = packed.shape
    check_inputs_of(layer, inputs, builder.values[sources[0]].map[0])
    value = builder.values[sources[0]]
    window, pads = window_of(layer, value, (height, width), ones)
    shape = (channels, *window.output) if is_map else (channels,)
    levels, side = _levels(node, shape)
    if levels is None and "thresholds" in node.attributes:
        return False
    shifts: tuple[int, ...] = node.attributes["shifts"]
    sums, cases = base_sums(value, packed, window, pads, ones)
    # With a side of -1 the weights are negated, and with them the sum of no differing signs.
    bits = np.concatenate([side_of * signs for signs, side_of in _by_chunks(packed, side)])
    weight = pack_signs(bits).reshape(channels, -1)
    total = sum(1 << shift for shift in shifts)
    _share_margin(builder, sources)
    builder.values[sources[0]].margin.widen(*pads)
    outside = int(np.prod(packed.shape[1:])) - sums
    bases = (int(np.prod(packed.shape[1:])) - outside * side) * total
    reals = np.stack([np.ones(channels, np.float32), np.zeros(channels, np.float32)])
    convolution = Convolution(
        name=node.name,
        source=sources[0],
        target=node.outputs[0],
        window=window,
        weights=builder.kernel_weights.shared(builder.forms.arrange(weight)),
        channels=channels,
        elements=n_words(inputs),
        first_element=0,
        first_channel=0,
        constants=EpilogueConstants(
            table=weights.bases(bases, _LANES), scale=weights.scales(reals, _LANES)
        ),
        cases=cases,
    )
    pools = bool(node.attributes.get("pools"))
    step = PlaneConvolution(
        convolution=convolution, sources=sources, shifts=shifts, levels=levels, pools=pools
    )
    if levels is None:
        builder.add(step, Value(kind="real", shape=shape))
        return True
    if pools:
        shape = (channels, window.output[0] // 2, window.output[1] // 2)
    _add_planes(builder, step, node.outputs, shape)
    return True


def _planes(
    builder: PlanBuilder, names: tuple[str, ...], *, is_map: bool
) -> tuple[tuple[str, ...], Pads] | None:
    """Return packed planes and their padding with +1; None if their shapes differ."""
    found = []
    for name in names:
        if is_map:
            source, ones = builder.padded.get(name, (name, NO_PADS))
        else:
            source, ones = builder.flattened.get(name, name), NO_PADS
        if builder.kind(source) not in ("signs", "codes"):
            return None
        found.append((source, ones))
    if len({ones for _, ones in found}) > 1:
        found = [(name, NO_PADS) for name in names]
    sources = tuple(builder.packed_signs(source) for source, _ in found)
    shapes = {builder.values[source].shape for source in sources}
    if len(shapes) > 1 or len(set(sources)) < len(sources):
        return None
    return (sources, found[0][1]) if len(shapes.pop()) in (1, 3) else None


def _share_margin(builder: PlanBuilder, names: tuple[str, ...]) -> None:
    """Give all planes the same margin, so that they have the same layout."""
    margin = builder.values[names[0]].margin
    for name in names[1:]:
        other = builder.values[name].margin
        if other is not margin:
            margin.widen(other.top, other.left, other.bottom, other.right)
            builder.values[name] = replace(builder.values[name], margin=margin)


def _weight(builder: PlanBuilder, layer: Node, source: str, *, is_map: bool) -> PackedWeight:
    content, shape = builder.constant(layer, 1), tuple(layer.attributes["weight_shape"])
    if is_map:
        return PackedWeight(packed=content, shape=shape)
    channels, height, width = builder.values[source].map
    check_inputs_of(layer, shape[1], channels * height * width)
    # ONNX flattens (C, H, W), packed maps are (H, W, C).
    return PackedWeight(packed=content, shape=(shape[0], height, width, channels), is_chw=True)


def _levels(node: Node, shape: tuple[int, ...]) -> tuple[Levels | None, Array]:
    """Return the levels of the totals, and the factor of each channel before them, (O,)."""
    ones = np.ones(shape[0], np.int8)
    if "thresholds" not in node.attributes:
        return None, ones
    before, after = (
        per_channel(node.attributes[name], shape[0], len(shape)) for name in ("before", "after")
    )
    thresholds = _table(node.attributes["thresholds"], shape, FLOAT)
    if before is None or after is None or thresholds is None:
        return None, ones
    if plane_count(len(thresholds)) != len(node.outputs):
        return None, ones
    # An integer reaches a threshold where it reaches the next integer; NaN is never reached.
    most = np.iinfo(np.int32).max
    whole = np.clip(np.ceil(np.nan_to_num(thresholds, nan=most, posinf=most)), -most, most)
    levels = Levels(
        thresholds=whole.astype(np.int64).astype(np.int32),
        targets=node.outputs,
        side=after.astype(np.int32),
    )
    return levels, before.astype(np.int8)


def _by_chunks(packed: PackedWeight, side: Array) -> list[tuple[Array, Array]]:
    """Return the signs of the weights in chunks, and the side of their channels."""
    found, first = [], 0
    for signs in packed.chunks():
        found.append((signs, side[first : first + len(signs), None, None, None]))
        first += len(signs)
    return found
