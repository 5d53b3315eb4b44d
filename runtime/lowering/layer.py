"""What binary and float layers share: the window, groups, and what follows them at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.graph import Node
from bnnkit.artifact.standard.pooling import explicit_pads, pool_output
from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime import weights
from bnnkit.runtime.lowering.epilogue import Epilogue
from bnnkit.runtime.lowering.plan_builder import Pads, PlanBuilder
from bnnkit.runtime.steps.convolution import Convolution, EpilogueConstants
from bnnkit.runtime.steps.signs import PackSigns
from bnnkit.runtime.steps.stochastic import SampleSigns
from bnnkit.runtime.steps.window import Window
from bnnkit.runtime.values import Array, Kind, Value

NO_PADS: Pads = (0, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer as the kernel sees it.

    Attributes:
        source: Value that it reads.
        window: The kernel's movement.
        is_map: Whether it gives (O, H, W) rather than (O,).
        groups: G.
        weight: uint64 words or float32, (O, taps of a group).
        elements: Words, nibbles or channels of a pixel that a group reads.
        group_elements: From the start of one group to the next.
        cases: (OH, OW), rows of the tables.
        constants: Gives those of a slice of channels for a kind of output.
    """

    source: str
    window: Window
    is_map: bool
    groups: int
    weight: Array
    elements: int
    group_elements: int
    cases: NDArray[np.int64]
    constants: Callable[[Kind, slice], EpilogueConstants]


def window_of(
    node: Node, source: Value, size: tuple[int, int], ones: Pads = NO_PADS
) -> tuple[Window, Pads]:
    """The kernel's movement, and all padding together.

    Args:
        node: Its attributes strides, dilations and pads count.
        source: The map before any padding.
        size: KH and KW.
        ones: Padding that an earlier node asked for.
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
    window = Window(
        size=size,
        stride=(down, right),
        dilation=(vertical, horizontal),
        padding=(top, left),
        output=(rows, columns),
    )
    return window, (top, left, bottom, after)


def check_inputs_of(node: Node, wanted: int, given: int) -> None:
    """Refuse weights for another number of inputs than come: a kernel would read elsewhere."""
    if wanted != given:
        raise ArtifactError(
            f"node {node.name!r} ({node.kind}): expected weights for its {given} inputs,"
            f" got weights for {wanted}"
        )


def check_outputs_of(node: Node, channels: int, groups: int, epilogue: Epilogue) -> None:
    """Refuse channels that groups do not divide, and thresholds for another number of channels."""
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
    """Append the steps of a layer: one a group, and packing where a group cannot pack."""
    channels = len(layer.weight) // layer.groups
    # A group's signs start at a byte and are written in whole vectors.
    packs_later = epilogue.kind == "signs" and layer.groups > 1
    packs_later = packs_later and (channels % 64 != 0 or epilogue.noise is not None)
    target = f"{epilogue.name}/sums" if packs_later else epilogue.name
    kind: Kind = "sums" if packs_later else epilogue.kind
    rows, columns = layer.window.output
    size = (rows // 2, columns // 2) if epilogue.pools else (rows, columns)
    shape = (len(layer.weight), *size) if layer.is_map else (len(layer.weight),)
    value = Value(kind=kind, shape=shape, spare=16 if layer.groups > 1 else 0)
    for group in range(layer.groups):
        part = slice(group * channels, (group + 1) * channels)
        step = Convolution(
            name=node.name,
            source=layer.source,
            target=target,
            window=layer.window,
            weights=weights.lanes(layer.weight[part]),
            channels=channels,
            elements=layer.elements,
            first_element=group * layer.group_elements,
            first_channel=part.start,
            constants=layer.constants("sums" if epilogue.noise else kind, part),
            cases=layer.cases,
            pools=epilogue.pools,
            noise=None if packs_later else epilogue.noise,
        )
        builder.add(step, value)
    if packs_later and epilogue.noise is not None:
        sample = SampleSigns(
            name=node.name,
            source=target,
            target=epilogue.name,
            noise=epilogue.noise,
            is_shared=False,
        )
        builder.add(sample, Value(kind="signs", shape=shape))
    elif packs_later and epilogue.thresholds is not None:
        pack = PackSigns(
            name=node.name, source=target, target=epilogue.name, thresholds=epilogue.thresholds
        )
        builder.add(pack, Value(kind="signs", shape=shape))
