"""What binary and float layers share: the window, the threshold behind them, and groups."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.runtime import weights
from bnnkit.runtime.graph import Node
from bnnkit.runtime.lowering.draft import Draft, Pads
from bnnkit.runtime.operators.pooling import pool_output
from bnnkit.runtime.steps.convolution import Convolution, Window
from bnnkit.runtime.steps.signs import PackSigns
from bnnkit.runtime.values import Array, Kind, Value

NO_PADS: Pads = (0, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a layer writes.

    Attributes:
        name: The value.
        kind: signs where thresholds are given, else sums or real.
        thresholds: (O,).
    """

    name: str
    kind: Kind
    thresholds: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer as the kernel sees it.

    Attributes:
        source: Value that it reads.
        window: The kernel's movement.
        shape: The output's, as ONNX has it.
        groups: G.
        weight: uint64 words or float32, (O, taps of a group).
        elements: Words or channels of a pixel that a group reads.
        cases: (OH, OW), rows of the tables.
        table: Gives the constants of a slice of channels for a kind of output.
    """

    source: str
    window: Window
    shape: tuple[int, ...]
    groups: int
    weight: Array
    elements: int
    cases: NDArray[Any]
    table: Callable[[Kind, slice], Array]


def output_of(draft: Draft, node: Node) -> Output:
    """The node's sums, or the signs of a Threshold where that is all that reads them."""
    reader = draft.graph.sole_reader(node.outputs[0])
    if reader is None or reader.kind != "bnnkit.Threshold":
        return Output(name=node.outputs[0], kind="sums")
    draft.done.add(reader.name)
    thresholds = draft.constant(reader, 1).reshape(-1)
    return Output(name=reader.outputs[0], kind="signs", thresholds=thresholds)


def window_of(
    node: Node, source: Value, size: tuple[int, int], ones: Pads = NO_PADS
) -> tuple[Window, Pads, tuple[int, int]]:
    """The kernel's movement, all padding together, and the output's height and width.

    Args:
        node: Its attributes strides, dilations and pads count.
        source: The map before any padding.
        size: KH and KW.
        ones: Padding that an earlier node asked for.
    """
    if node.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise UnsupportedError(
            f"node {node.name!r} ({node.kind}): expected explicit pads, got auto_pad"
        )
    down, right = node.attributes.get("strides", (1, 1))
    vertical, horizontal = node.attributes.get("dilations", (1, 1))
    zeros = node.attributes.get("pads", NO_PADS)
    top, left, bottom, after = (a + b for a, b in zip(zeros, ones, strict=True))
    _, height, width = source.map
    rows = pool_output(height, size[0], down, (top, bottom), vertical, ceil=False)
    columns = pool_output(width, size[1], right, (left, after), horizontal, ceil=False)
    if rows < 1 or columns < 1:
        raise UnsupportedError(
            f"node {node.name!r} ({node.kind}): its kernel is larger than its input"
        )
    window = Window(
        size=size, stride=(down, right), dilation=(vertical, horizontal), padding=(top, left)
    )
    return window, (top, left, bottom, after), (rows, columns)


def add_layer(draft: Draft, node: Node, layer: Layer, output: Output) -> None:
    """Append the steps of a layer: one a group, and packing where a group cannot pack."""
    channels = len(layer.weight) // layer.groups
    # A group's signs start at a byte and are written in whole vectors.
    packs_later = output.kind == "signs" and layer.groups > 1 and channels % 64 != 0
    target = f"{output.name}/sums" if packs_later else output.name
    kind: Kind = "sums" if packs_later else output.kind
    value = Value(kind=kind, shape=layer.shape, spare=16 if layer.groups > 1 else 0)
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
            first_element=group * layer.elements,
            first_channel=part.start,
            table=layer.table(kind, part),
            cases=layer.cases,
        )
        draft.add(step, value)
    if packs_later and output.thresholds is not None:
        pack = PackSigns(
            name=node.name, source=target, target=output.name, thresholds=output.thresholds
        )
        draft.add(pack, Value(kind="signs", shape=layer.shape))
