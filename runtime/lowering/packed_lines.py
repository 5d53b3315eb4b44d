"""Where the rows and columns of a matrix product of signs lie in a map of packed signs."""

from dataclasses import dataclass

import numpy as np

from bnnkit.artifact.format.bits import n_words
from bnnkit.artifact.format.graph import Node
from bnnkit.runtime.kernels.products import LANES
from bnnkit.runtime.lowering.moved_signs import moved_signs
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import Array, Integers, Value
from bnnkit.runtime.steps.products import PackLines


@dataclass(frozen=True, kw_only=True)
class Lines:
    """The lines of an operand, consecutive channels of pixels or consecutive pixels of channels.

    Attributes:
        operand: Name of the operand.
        shape: Its shape without the batch, (..., T, K) or (..., K, S).
        source: Name of the map.
        starts: int64 (A, 2), the first channel and the first pixel of each matrix.
        lines: T or S.
        terms: K.
        is_of_pixels: Whether the signs of a line are those of consecutive pixels.
    """

    operand: str
    shape: tuple[int, ...]
    source: str
    starts: Integers
    lines: int
    terms: int
    is_of_pixels: bool

    def add(self, builder: PlanBuilder, node: Node, *, are_rows: bool) -> str:
        """Append the step that packs the lines, unless it is known, and return its target."""
        target = f"{self.operand}/{'rows' if are_rows else 'columns'}"
        if target in builder.values:
            return target
        matrices, words = len(self.starts), n_words(self.terms)
        wide = -(-self.lines // LANES) * LANES
        shape = (matrices * self.lines, words) if are_rows else (matrices * words, wide)
        step = PackLines(
            name=node.name,
            source=self.source,
            target=target,
            starts=self.starts,
            channels=self.lines if self.is_of_pixels else self.terms,
            pixels=self.terms if self.is_of_pixels else self.lines,
            is_of_pixels=self.is_of_pixels,
            are_rows=are_rows,
        )
        builder.add(step, Value(kind="real", shape=shape, dtype=np.dtype(np.uint64)))
        return target


def packed_lines(builder: PlanBuilder, node: Node, index: int) -> Lines | None:
    """Return the lines of an operand: the rows of the first, the columns of the second.

    None if a kernel cannot pack them as they lie.
    """
    if not builder.forms.fuses:
        return None
    name = node.inputs[index]
    found = moved_signs(builder, name)
    if found is None or found.places.ndim < 2 or not found.places.size:
        return None
    shape = found.places.shape
    places = found.places if index == 0 else found.places.swapaxes(-1, -2)
    channels, pixels = _split(builder.values[found.source], places.reshape(-1, *places.shape[-2:]))
    for is_of_pixels, line_axis, term_axis in (
        (False, pixels, channels),
        (True, channels, pixels),
    ):
        if _counts(line_axis, 1) and _counts(term_axis, 2):
            return Lines(
                operand=name,
                shape=shape,
                source=found.source,
                starts=np.stack([channels[:, 0, 0], pixels[:, 0, 0]], 1),
                lines=places.shape[-2],
                terms=places.shape[-1],
                is_of_pixels=is_of_pixels,
            )
    return None


def _split(source: Value, places: Array) -> tuple[Array, Array]:
    """Return the channel and the pixel of each place."""
    channels, rows, columns = source.map
    if source.layout == "channels last":
        return places % channels, places // channels
    return places // (rows * columns), places % (rows * columns)


def _counts(numbers: Array, axis: int) -> bool:
    """Whether numbers (A, L, K) count up by 1 along one axis and are constant along the other."""
    steps = np.arange(numbers.shape[axis]).reshape([-1 if i == axis else 1 for i in range(3)])
    return bool((numbers == numbers[:, :1, :1] + steps).all())
