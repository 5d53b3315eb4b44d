"""Where the batch is in a value whose first axis it need not be."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import onnx_ir as ir

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """The axis that holds the batch, and what else it holds.

    Attributes:
        axis: The axis. Its index is (i * N + n) * after + j with i < before, image n, j < after.
        before: The number of indices that vary more slowly than the images.
        after: The number of indices that vary faster.
    """

    axis: int
    before: int = 1
    after: int = 1

    @property
    def rest(self) -> int:
        """The size of the axis for one image."""
        return self.before * self.after

    def at(self, axis: int) -> "Place":
        """The same at another axis."""
        return Place(axis, self.before, self.after)


FRONT: Final = Place(0)
"""The batch is the first axis, and nothing else is in it."""


def place_in(
    sizes: Sizes, place: Place, target: Sizes, batch: int, hint: int | None
) -> Place | None:
    """Where the batch is after a change of shape that keeps the order of the elements.

    Args:
        sizes: The sizes before, for one image.
        place: The place before.
        target: The sizes after, for a batch of `batch` images.
        batch: The number of images.
        hint: The axis that holds the batch afterwards, if it is known.

    Returns:
        None if the batch is spread over several axes.
    """
    before = prod(sizes[: place.axis]) * place.before
    after = place.after * prod(sizes[place.axis + 1 :])
    for axis, size in enumerate(target):
        outer = prod(target[:axis])
        if hint not in (None, axis) or outer == 0 or before % outer:
            continue
        inner = before // outer
        rest = size // (inner * batch) if size % (inner * batch) == 0 else 0
        if rest and rest * prod(target[axis + 1 :]) == after:
            return Place(axis, inner, rest)
    return None


def sizes_of(value: ir.Value, images: int) -> Sizes | None:
    """The sizes of a value for a number of images; None if one is not known.

    Torch writes an axis with the batch N as `N` or as a product, such as `10*N`.
    """
    found = [_size(axis, images) for axis in value.shape] if value.shape is not None else [None]
    return None if None in found else tuple(size for size in found if size is not None)


def _size(axis: object, images: int) -> int | None:
    if isinstance(axis, int):
        return axis
    if axis is None or getattr(axis, "value", axis) is None:
        return None
    factors = str(axis).split("*")
    numbers = [int(f) if f.isdecimal() else images if f.isidentifier() else None for f in factors]
    known = [number for number in numbers if number is not None]
    return prod(known) if len(known) == len(factors) else None


def axis_of_batch(value: ir.Value) -> int | None:
    """The axis whose size depends on the batch, by a value's shape; None if none or several do."""
    free = [axis for axis, size in enumerate(value.shape or ()) if not isinstance(size, int)]
    return free[0] if len(free) == 1 else None


def without_batch(sizes: Sequence[int], place: Place) -> Sizes:
    """The sizes for one image, from those for any number of images."""
    return (*sizes[: place.axis], place.rest, *sizes[place.axis + 1 :])
