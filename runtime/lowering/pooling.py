"""Lowering of pooling, concatenation and zero padding of maps."""

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.standard.pooling import Attributes, explicit_pads, pool_output
from bnnkit.runtime.kernels import reals
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import FLOAT, Value
from bnnkit.runtime.steps.convolution import Convolution
from bnnkit.runtime.steps.pooled_reals import KERNELS as POOLED_KERNELS
from bnnkit.runtime.steps.pooled_reals import PooledReals
from bnnkit.runtime.steps.real import Chain, PlaceReals, PoolReals
from bnnkit.runtime.steps.signs import PoolSigns
from bnnkit.runtime.steps.window import KernelWindow


def lower_pooling(builder: PlanBuilder, node: Node) -> bool:
    """Lower an operator that pools, concatenates or pads maps.

    Returns:
        Whether a kernel supports this form of the operator.
    """
    if not node.inputs or node.inputs[0] not in builder.values:
        return False
    if node.kind == "MaxPool" and builder.kind(node.inputs[0]) == "signs":
        _max_pool_of_signs(builder, node)
    elif not all(
        _is_map_of_reals(builder, name) for name in node.inputs if name in builder.values
    ):
        return False
    elif node.kind == "MaxPool" and _windows_touch_the_map(node):
        _max_pool(builder, node)
    elif node.kind == "AveragePool" and _has_whole_windows(node):
        _average(builder, node, _window(builder, node), is_vector=False)
    elif node.kind == "GlobalAveragePool":
        _average(builder, node, _whole_map(builder, node), is_vector=False)
    elif node.kind == "ReduceMean" and _axes(builder, node) == {2, 3}:
        is_vector = not node.attributes.get("keepdims", 1)
        _average(builder, node, _whole_map(builder, node), is_vector=is_vector)
    elif (
        node.kind == "Concat" and node.attributes["axis"] in (1, -3) and _are_values(builder, node)
    ):
        _concat(builder, node)
    elif node.kind == "Pad" and (pads := _zero_pads(builder, node)) is not None:
        _pad(builder, node, pads)
    else:
        return False
    return True


def _is_map_of_reals(builder: PlanBuilder, name: str) -> bool:
    value = builder.values[name]
    is_map = len(value.shape) == 3 and value.layout == "onnx"
    return value.kind == "real" and value.dtype == FLOAT and is_map


def _are_values(builder: PlanBuilder, node: Node) -> bool:
    return all(name in builder.values for name in node.inputs)


def _axes(builder: PlanBuilder, node: Node) -> set[int]:
    """Return the axes of a reduction as non-negative numbers."""
    found = node.attributes.get("axes", ())
    if len(node.inputs) > 1:
        found = builder.constant(node, 1).tolist()
    return {int(axis) % 4 for axis in found}


def _has_whole_windows(node: Node) -> bool:
    """Whether every window of an average has the same number of pixels."""
    return not any(explicit_pads(node.attributes)) and not node.attributes.get("ceil_mode", 0)


def _windows_touch_the_map(node: Node) -> bool:
    """Whether no window lies in the padding alone, where the kernel would write nothing."""
    a = node.attributes
    sizes, dilations = a["kernel_shape"], a.get("dilations", (1, 1))
    reach = [1 + d * (size - 1) for size, d in zip(sizes, dilations, strict=True)]
    return all(pad < length for pad, length in zip(explicit_pads(a), reach * 2, strict=True))


def _window(builder: PlanBuilder, node: Node) -> KernelWindow:
    _, height, width = builder.values[node.inputs[0]].map
    return pool_window(node.attributes, height, width)


def pool_window(a: Attributes, height: int, width: int) -> KernelWindow:
    """Return the window of a MaxPool or AveragePool.

    Args:
        a: The attributes of the operator.
        height: H of its input.
        width: W of its input.
    """
    size = tuple(a["kernel_shape"])
    stride = tuple(a.get("strides", (1, 1)))
    dilation = tuple(a.get("dilations", (1, 1)))
    top, left, bottom, right = explicit_pads(a)
    ceil = bool(a.get("ceil_mode", 0))
    return KernelWindow(
        size=(size[0], size[1]),
        stride=(stride[0], stride[1]),
        dilation=(dilation[0], dilation[1]),
        padding=(top, left),
        output=(
            pool_output(height, size[0], stride[0], (top, bottom), dilation[0], ceil),
            pool_output(width, size[1], stride[1], (left, right), dilation[1], ceil),
        ),
    )


def _whole_map(builder: PlanBuilder, node: Node) -> KernelWindow:
    _, height, width = builder.values[node.inputs[0]].map
    one = (1, 1)
    return KernelWindow(size=(height, width), stride=one, dilation=one, padding=(0, 0), output=one)


def _max_pool_of_signs(builder: PlanBuilder, node: Node) -> None:
    source = builder.packed_signs(node.inputs[0])
    window = _window(builder, node)
    step = PoolSigns(name=node.name, source=source, target=node.outputs[0], window=window)
    channels = builder.values[source].map[0]
    builder.add(step, Value(kind="signs", shape=(channels, *window.output)))


LARGE = 1 << 18
"""Bytes of a map from which on it does not stay in the second-level cache, beside other data."""


def _max_pool(builder: PlanBuilder, node: Node) -> None:
    window, position = _window(builder, node), builder.position(node.inputs[0])
    layer = builder.steps[position] if position >= 0 else None
    if isinstance(layer, Convolution) and _pools_bands(builder, node, layer, window):
        shape = (layer.channels, *window.output)
        builder.steps[position] = PooledReals(
            name=layer.name,
            source=layer.source,
            target=node.outputs[0],
            convolution=layer,
            pool=window,
        )
        del builder.values[layer.target]
        builder.values[node.outputs[0]] = Value(kind="real", shape=shape)
        return
    step = PoolReals(
        name=node.name,
        source=node.inputs[0],
        target=node.outputs[0],
        is_maximum=True,
        window=window,
    )
    channels = builder.values[node.inputs[0]].map[0]
    builder.add(step, Value(kind="real", shape=(channels, *window.output)))


def _pools_bands(
    builder: PlanBuilder, node: Node, layer: Convolution, window: KernelWindow
) -> bool:
    """Whether a layer of reals and the pooling, its only reader, are computed in bands of rows."""
    value = builder.values[layer.target]
    channels, rows, columns = value.map
    return (
        layer.weights.dtype in POOLED_KERNELS
        and builder.forms.fuses
        and value.kind == "real"
        and layer.groups == 1
        and layer.channels == channels
        and layer.noise is None
        and not layer.pools
        and window.dilation == (1, 1)
        and 4 * channels * rows * columns > LARGE
        and builder.graph.sole_reader(layer.target) == node
    )


def _average(builder: PlanBuilder, node: Node, window: KernelWindow, *, is_vector: bool) -> None:
    """Append average pooling: a sum over windows, divided by their size."""
    channels = builder.values[node.inputs[0]].map[0]
    total = PoolReals(
        name=node.name,
        source=node.inputs[0],
        target=f"{node.outputs[0]}/sum",
        is_maximum=False,
        window=window,
    )
    shape = (channels,) if is_vector else (channels, *window.output)
    builder.add(total, Value(kind="real", shape=shape))
    count = np.full(channels, window.size[0] * window.size[1], np.float32)
    divide = Chain(
        name=node.name,
        source=total.target,
        target=node.outputs[0],
        operations=((reals.DIVIDE, count),),
    )
    builder.add(divide, Value(kind="real", shape=shape))


def _zero_pads(builder: PlanBuilder, node: Node) -> list[int] | None:
    """Return ONNX's pads of a map, or None if a Pad does anything but add zeros around it."""
    constants = builder.constants
    if len(node.inputs) < 2 or node.inputs[1] not in constants or any(node.inputs[3:]):
        return None
    value = constants.get(node.inputs[2]) if any(node.inputs[2:3]) else np.zeros(1)
    pads = [int(n) for n in constants[node.inputs[1]].reshape(-1)]
    is_constant = node.attributes.get("mode", b"constant") == b"constant"
    if not is_constant or value is None or value.reshape(-1)[0] != 0 or len(pads) != 8:
        return None
    return pads if min(pads) >= 0 and pads[0] == pads[4] == 0 else None


def _pad(builder: PlanBuilder, node: Node, pads: list[int]) -> None:
    """Append a copy of the map into a larger map of zeros."""
    (channels, height, width), source = builder.values[node.inputs[0]].map, node.inputs[0]
    shape = (channels + pads[1] + pads[5], height + pads[2] + pads[6], width + pads[3] + pads[7])
    step = PlaceReals(
        name=node.name,
        source=source,
        target=node.outputs[0],
        first_channel=pads[1],
        top=pads[2],
        left=pads[3],
    )
    builder.add(step, Value(kind="real", shape=shape))


def _concat(builder: PlanBuilder, node: Node) -> None:
    """Append copies of the maps into consecutive channels of one map."""
    parts = [builder.values[name].map for name in node.inputs]
    channels = sum(part[0] for part in parts)
    value = Value(kind="real", shape=(channels, *parts[0][1:]))
    first = 0
    for name, part in zip(node.inputs, parts, strict=True):
        step = PlaceReals(name=node.name, source=name, target=node.outputs[0], first_channel=first)
        builder.add(step, value)
        first += part[0]
