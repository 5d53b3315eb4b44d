"""Lowering of operators that copy whole maps to other places: joins, and larger maps.

`Concat` along the channels, `Resize` that repeats pixels, and `DepthToSpace` are copies into every
second (third, ...) pixel or into consecutive channels. If a `Sign` alone reads the result, the
signs are taken first, and copied as bits.
"""

from collections.abc import Iterator
from functools import partial
from itertools import product

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.standard import STANDARD_OPERATORS
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.lowering.signs import lower_sign
from bnnkit.runtime.memory.values import FLOAT, Value
from bnnkit.runtime.steps.real import PlaceReals
from bnnkit.runtime.steps.signs import CopySigns

Spacing = tuple[int, int]
"""Steps between copied pixels, vertical and horizontal."""
SIGN = "bnnkit.Sign"


def lower_placed_maps(builder: PlanBuilder, node: Node) -> bool:
    """Lower an operator that copies maps of reals or signs.

    Returns:
        Whether a kernel supports this form of the operator.
    """
    if not builder.forms.fuses or not node.inputs or node.inputs[0] not in builder.values:
        return False
    if node.kind == "Concat" and node.attributes["axis"] in (1, -3):
        return _join_signs(builder, node)
    if node.kind == "Resize" and (spacing := _repeats(builder, node)) is not None:
        return _repeat_pixels(builder, node, spacing)
    if node.kind == "DepthToSpace" and node.attributes.get("mode", b"DCR") == b"DCR":
        return _depth_to_space(builder, node)
    return False


def _is_map(builder: PlanBuilder, name: str) -> bool:
    value = builder.values.get(name)
    return value is not None and value.kind == "real" and value.dtype == FLOAT and _has_rows(value)


def _has_rows(value: Value) -> bool:
    return len(value.shape) == 3 and value.layout == "onnx"


def _join_signs(builder: PlanBuilder, node: Node) -> bool:
    """Join signs, or reals that are only read by a Sign."""
    target = node.outputs[0]
    kinds = {builder.kind(name) for name in node.inputs}
    if kinds == {"signs"}:
        sources = [builder.packed_signs(name) for name in node.inputs]
        if not all(_has_rows(builder.values[name]) for name in sources):
            return False
    elif all(_is_map(builder, name) for name in node.inputs) and _is_signed(builder, node):
        sources = [_sign_of(builder, name) for name in node.inputs]
        target = _skip_sign(builder, node)
    else:
        return False
    shapes = [builder.values[name].map for name in sources]
    value = Value(kind="signs", shape=(sum(s[0] for s in shapes), *shapes[0][1:]))
    first = 0
    for source, shape in zip(sources, shapes, strict=True):
        step = CopySigns(name=node.name, source=source, target=target, first_channel=first)
        builder.add(step, value)
        first += shape[0]
    return True


def _is_signed(builder: PlanBuilder, node: Node) -> bool:
    reader = builder.graph.sole_reader(node.outputs[0])
    return reader is not None and reader.kind == SIGN


def _skip_sign(builder: PlanBuilder, node: Node) -> str:
    """Mark the Sign that reads a node as done, and return the name of its signs."""
    (reader,) = builder.graph.readers(node.outputs[0])
    builder.done.add(reader.name)
    return reader.outputs[0]


def _sign_of(builder: PlanBuilder, name: str) -> str:
    """Return signs of a map of reals: known ones, or the result of steps that are appended."""
    copy = _repetition(builder, name)
    if copy is not None:
        return _sign_before_repeating(builder, copy)
    for reader in builder.graph.readers(name):
        if reader.kind == SIGN and builder.kind(reader.outputs[0]) == "signs":
            return reader.outputs[0]
    signs = f"{name}/signs"
    if signs not in builder.values:
        sign = Node(kind=SIGN, name=signs, inputs=(name,), outputs=(signs,), attributes={})
        lower_sign(builder, sign)
    return signs


def _repetition(builder: PlanBuilder, name: str) -> PlaceReals | None:
    """Return a step that repeats pixels to make a map with one reader; None for another map."""
    position = builder.position(name)
    step = builder.steps[position] if position >= 0 else None
    if not isinstance(step, PlaceReals) or not step.repeats or step.target != name:
        return None
    return None if builder.graph.sole_reader(name) is None else step


def _sign_before_repeating(builder: PlanBuilder, copy: PlaceReals) -> str:
    """Replace the repetition of reals by one of their signs."""
    target = f"{copy.target}/signs"
    del builder.values[copy.target]
    builder.steps = [step for step in builder.steps if step.target != copy.target]
    _repeat(builder, copy.name, (_sign_of(builder, copy.source), target), copy.spacing)
    return target


def _repeats(builder: PlanBuilder, node: Node) -> Spacing | None:
    """Return how often a Resize repeats each pixel; None if it does anything else."""
    given = [name for name in node.inputs[1:] if name]
    mode = node.attributes.get("mode", b"nearest")
    if not _is_map(builder, node.inputs[0]) or mode != b"nearest":
        return None
    if any(name not in builder.constants for name in given):
        return None
    channels, rows, columns = builder.values[node.inputs[0]].map
    factors = _factors(builder, node, (channels, rows, columns))
    if factors is None:
        return None
    pixels = np.arange(rows * columns).reshape(1, 1, rows, columns)
    scales = np.array([1, 1, *factors], np.float32)
    attributes = {key: value for key, value in node.attributes.items() if key != "axes"}
    enlarged = STANDARD_OPERATORS["Resize"](attributes, pixels, None, scales)
    repeated = pixels.repeat(factors[0], 2).repeat(factors[1], 3)
    return factors if np.array_equal(enlarged, repeated) else None


def _factors(builder: PlanBuilder, node: Node, shape: tuple[int, int, int]) -> Spacing | None:
    """Return the whole factors by which a Resize enlarges rows and columns; None for others."""
    axes = [axis % 4 for axis in node.attributes.get("axes", range(4))]
    none = np.zeros(0)
    scales, sizes = (builder.constants.get(x, none) for x in ([*node.inputs[2:], "", ""])[:2])
    ratios = np.ones(4)
    if len(sizes) == len(axes) and 0 not in axes:  # sizes of all axes hold for one batch
        ratios[axes] = sizes / np.array([1, *shape])[axes]
    elif len(scales) == len(axes) and not len(sizes):
        ratios[axes] = scales
    else:
        return None
    if (ratios[:2] != 1).any() or (ratios != np.rint(ratios)).any() or ratios.min() < 1:
        return None
    return int(ratios[2]), int(ratios[3])


def _repeat_pixels(builder: PlanBuilder, node: Node, spacing: Spacing) -> bool:
    source, target = node.inputs[0], node.outputs[0]
    if _is_signed(builder, node):
        source, target = _sign_of(builder, source), _skip_sign(builder, node)
    _repeat(builder, node.name, (source, target), spacing)
    return True


def _repeat(
    builder: PlanBuilder, node_name: str, names: tuple[str, str], spacing: Spacing
) -> None:
    """Append a copy of a map, of reals or signs, for each pixel of a block."""
    source, target = names
    given = builder.values[source]
    channels, rows, columns = given.map
    value = Value(kind=given.kind, shape=(channels, rows * spacing[0], columns * spacing[1]))
    for top, left in _phases(spacing):
        make = CopySigns if given.kind == "signs" else partial(PlaceReals, repeats=True)
        step = make(
            name=node_name, source=source, target=target, top=top, left=left, spacing=spacing
        )
        builder.add(step, value)


def _phases(spacing: Spacing) -> Iterator[Spacing]:
    return product(range(spacing[0]), range(spacing[1]))


def _depth_to_space(builder: PlanBuilder, node: Node) -> bool:
    """Copy consecutive channels to each pixel of a block."""
    source, target, block = node.inputs[0], node.outputs[0], node.attributes["blocksize"]
    if builder.kind(source) == "signs":
        source = builder.packed_signs(source)
        if not _has_rows(builder.values[source]):
            return False
    elif not _is_map(builder, source):
        return False
    kind = builder.values[source].kind
    channels, rows, columns = builder.values[source].map
    depth = channels // block**2
    value = Value(kind=kind, shape=(depth, rows * block, columns * block))
    make = CopySigns if kind == "signs" else PlaceReals
    for number, (top, left) in enumerate(_phases((block, block))):
        step = make(
            name=node.name,
            source=source,
            target=target,
            top=top,
            left=left,
            spacing=(block, block),
            part=(number * depth, depth),
        )
        builder.add(step, value)
    return True
