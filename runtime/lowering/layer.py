"""Parts common to binary and float layers: window, groups, and the steps of a layer."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.standard.pooling import explicit_pads, pool_output
from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.lowering.epilogue import Epilogue
from bnnkit.runtime.lowering.plan_builder import Pads, PlanBuilder
from bnnkit.runtime.memory import aligned
from bnnkit.runtime.memory.values import Array, Kind, Value
from bnnkit.runtime.memory.weights import LANES
from bnnkit.runtime.steps.convolution import Convolution, EpilogueConstants
from bnnkit.runtime.steps.signs import PackSigns
from bnnkit.runtime.steps.stochastic import SampleSigns
from bnnkit.runtime.steps.window import KernelWindow

NO_PADS: Pads = (0, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer in the terms of its kernel.

    Attributes:
        source: Name of the input.
        window: Geometry of the kernel.
        is_map: Whether the output is (O, H, W) rather than (O,).
        groups: Number of groups G.
        weight: (O, taps of a group), in the dtype of the kernel (memory/weights.py).
        elements: Number of words, nibbles or channels that a group reads from a pixel.
        group_elements: Number of them from the start of one group to the next.
        cases: int64 (OH, OW), the table row of each output pixel.
        constants: Returns the epilogue's constants for a kind of output and a slice of channels.
    """

    source: str
    window: KernelWindow
    is_map: bool
    groups: int
    weight: Array
    elements: int
    group_elements: int
    cases: NDArray[np.int64]
    constants: Callable[[Kind, slice], EpilogueConstants]


def window_of(
    node: Node, source: Value, size: tuple[int, int], ones: Pads = NO_PADS
) -> tuple[KernelWindow, Pads]:
    """Compute the geometry of a layer's window.

    Args:
        node: The node with the attributes strides, dilations and pads.
        source: The map before any padding.
        size: Kernel size (KH, KW).
        ones: Padding with +1 by an earlier node.

    Returns:
        The window, and the sum of both paddings.

    Raises:
        UnsupportedError: If the kernel is larger than the padded input.
    """
    down, right = node.attributes.get("strides", (1, 1))
    vertical, horizontal = node.attributes.get("dilations", (1, 1))
    zeros = explicit_pads(node.attributes)
    top, left, bottom, after = (a + b for a, b in zip(zeros, ones, strict=True))
    _, height, width = source.map
    rows = pool_output(height, size[0], down, (top, bottom), vertical, ceil=False)
    columns = pool_output(width, size[1], right, (left, after), horizontal, ceil=False)
    if rows < 1 or columns < 1:
        raise UnsupportedError(
            f"node {node.name!r} ({node.kind}): its kernel is larger than its input"
        )
    window = KernelWindow(
        size=size,
        stride=(down, right),
        dilation=(vertical, horizontal),
        padding=(top, left),
        output=(rows, columns),
    )
    return window, (top, left, bottom, after)


def check_inputs_of(node: Node, wanted: int, given: int) -> None:
    """Check the number of input channels of the weights.

    Raises:
        ArtifactError: If it differs from that of the input.
    """
    if wanted != given:
        raise ArtifactError(
            f"node {node.name!r} ({node.kind}): expected weights for its {given} inputs,"
            f" got weights for {wanted}"
        )


def check_outputs_of(node: Node, channels: int, groups: int, epilogue: Epilogue) -> None:
    """Check the number of output channels.

    Raises:
        ArtifactError: If the groups do not divide it, or the thresholds have another number.
    """
    if channels % groups:
        raise ArtifactError(
            f"node {node.name!r} ({node.kind}): expected a multiple of {groups} output channels,"
            f" got {channels}"
        )
    if epilogue.thresholds is not None and epilogue.thresholds.size != channels:
        raise ArtifactError(
            f"node {node.name!r} ({node.kind}): expected a threshold for each of {channels}"
            f" channels, got {epilogue.thresholds.size}"
        )


def add_layer(builder: PlanBuilder, node: Node, layer: Layer, epilogue: Epilogue) -> None:
    """Append the steps of a layer, and those of its signs if its groups cannot pack them."""
    channels = len(layer.weight) // layer.groups
    # The signs of a group are written in whole vectors that start at a byte.
    can_pack = layer.groups == 1 or (
        epilogue.noise is None and (channels % 64 == 0 or _joins_groups(builder, layer))
    )
    if epilogue.kind != "signs" or can_pack:
        _add_groups(builder, node, layer, epilogue)
    else:
        sums = Epilogue(name=f"{epilogue.name}/sums", kind="sums")
        _add_groups(builder, node, layer, sums)
        add_signs(builder, node, sums.name, epilogue)


def _joins_groups(builder: PlanBuilder, layer: Layer) -> bool:
    """Whether one step computes all groups, as each has whole vectors of output channels."""
    dtype, channels = layer.weight.dtype, len(layer.weight) // layer.groups
    is_in_vectors = builder.forms.fuses and dtype != np.int64  # panels
    return is_in_vectors and channels % LANES[dtype] == 0


def _add_groups(builder: PlanBuilder, node: Node, layer: Layer, epilogue: Epilogue) -> None:
    """Append one convolution for all groups, or one per group that writes to the same value."""
    channels = len(layer.weight) // layer.groups
    parts = [slice(i * channels, (i + 1) * channels) for i in range(layer.groups)]
    arranged = [builder.forms.arrange(layer.weight[part]) for part in parts]
    if _joins_groups(builder, layer):
        weight = aligned.copy(np.concatenate(arranged)) if layer.groups > 1 else arranged[0]
        _add_part(builder, node, layer, epilogue, slice(0, len(layer.weight)), weight)
    else:
        for part, weight in zip(parts, arranged, strict=True):
            _add_part(builder, node, layer, epilogue, part, weight)


def _add_part(
    builder: PlanBuilder,
    node: Node,
    layer: Layer,
    epilogue: Epilogue,
    part: slice,
    weight: Array,
) -> None:
    """Append the convolution of some groups, with weights in the layout of the kernel."""
    rows, columns = layer.window.output
    size = (rows // 2, columns // 2) if epilogue.pools else (rows, columns)
    shape = (len(layer.weight), *size) if layer.is_map else (len(layer.weight),)
    value = Value(kind=epilogue.kind, shape=shape, spare=16 if layer.groups > 1 else 0)
    of_a_group = len(layer.weight) // layer.groups
    step = Convolution(
        name=node.name,
        source=layer.source,
        target=epilogue.name,
        window=layer.window,
        weights=builder.kernel_weights.shared(weight),
        channels=part.stop - part.start,
        elements=layer.elements,
        first_element=part.start // of_a_group * layer.group_elements,
        first_channel=part.start,
        constants=layer.constants("sums" if epilogue.noise else epilogue.kind, part),
        cases=layer.cases,
        pools=epilogue.pools,
        noise=epilogue.noise,
        groups=(part.stop - part.start) // of_a_group,
        group_elements=layer.group_elements,
    )
    builder.add(step, value)


def add_signs(builder: PlanBuilder, node: Node, sums: str, epilogue: Epilogue) -> None:
    """Append the signs of sums, by noise or by thresholds."""
    value = Value(kind="signs", shape=builder.values[sums].shape)
    if epilogue.noise is not None:
        sample = SampleSigns(
            name=node.name,
            source=sums,
            target=epilogue.name,
            noise=epilogue.noise,
            is_shared=False,
        )
        builder.add(sample, value)
    elif epilogue.thresholds is not None:
        pack = PackSigns(
            name=node.name, source=sums, target=epilogue.name, thresholds=epilogue.thresholds
        )
        builder.add(pack, value)
