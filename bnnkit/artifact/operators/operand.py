"""Types of values, and what operators expect of the types of their operands."""

from dataclasses import dataclass, field
from math import prod
from typing import Final, NamedTuple

import onnx

from bnnkit.errors import ArtifactError

FREE_BATCH: Final = 7919
"""Stands for a free batch: a prime, so that a length that depends on the batch shows."""
REST: Final = "..."
"""Any further axes, in a pattern of axes."""
ONES: Final = "1..."
"""As many axes of length 1 as "..." has axes."""


class ValueType(NamedTuple):
    """The type of a value.

    Attributes:
        element: ONNX's number of the element type.
        shape: With the batch.
    """

    element: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    def __str__(self) -> str:
        """Return the type as a message shows it: "uint8 (N, 3)"."""
        return f"{element_name(self.element)} {shape_text(self.shape)}"


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as a message shows it: "(N, 3)"."""
    return f"({', '.join('N' if length == FREE_BATCH else str(length) for length in shape)})"


def element_name(element: int) -> str:
    """Return the name of an element type, or its number if ONNX has none."""
    names = onnx.TensorProto.DataType
    return names.Name(element).lower() if element in names.values() else f"type {element}"


@dataclass
class Sizes:
    """The lengths of the axes of a node's values.

    Attributes:
        lengths: By the letters of the patterns.
        rest: Those of "..."; None as long as no pattern with "..." was bound.
    """

    lengths: dict[str, int] = field(default_factory=dict)
    rest: tuple[int, ...] | None = None

    def __getitem__(self, axis: str) -> int:
        return self.lengths[axis]

    def __setitem__(self, axis: str, length: int) -> None:
        self.lengths[axis] = length

    def product(self, axes: str) -> int:
        """Return the product of the lengths of some axes, such as "KH KW"."""
        return prod(self.lengths[axis] for axis in axes.split())


@dataclass(frozen=True)
class Operand:
    """What an operator of bnnkit expects of an input, or gives as an output.

    Attributes:
        element: ONNX's number of the element type.
        axes: Patterns of the shape, of which one fits: letters for lengths, such as "N C H W",
            the number 1, "..." for any further axes, "1..." for as many axes of length 1.
        is_constant: Whether it must not depend on the network's input.
    """

    element: int
    axes: tuple[str, ...]
    is_constant: bool = False

    def bind(self, name: str, found: ValueType, sizes: Sizes) -> None:
        """Add the lengths of the axes to `sizes`.

        Raises:
            ArtifactError: If the element type or the shape is another.
        """
        if found.element != self.element:
            raise ArtifactError(f"expected {element_name(self.element)} as {name}, got {found}")
        bind_shape(name, self.axes, found.shape, sizes)

    def type_for(self, sizes: Sizes) -> ValueType:
        """Return the type of an output: of the first pattern whose lengths are all known."""
        pattern = next(p for p in self.axes if _is_known(p.split(), sizes))
        shape: list[int] = []
        for axis in pattern.split():
            shape.extend(sizes.rest or () if axis == REST else [sizes[axis]])
        return ValueType(self.element, tuple(shape))


def _is_known(axes: list[str], sizes: Sizes) -> bool:
    return all(axis == REST or axis in sizes.lengths for axis in axes)


def bind_shape(name: str, patterns: tuple[str, ...], shape: tuple[int, ...], sizes: Sizes) -> None:
    """Add the lengths of a shape's axes to `sizes`, by the first pattern that fits.

    Raises:
        ArtifactError: If none fits.
    """
    for pattern in patterns:
        more = _matched(pattern.split(), shape, sizes)
        if more is not None:
            sizes.lengths, sizes.rest = more.lengths, more.rest
            return
    first, *others = patterns[0].split() or [""]
    if first in sizes.lengths and set(others) <= {"1", ONES}:
        raise ArtifactError(
            f"expected a number for each of {sizes[first]} channels as {name}, got the shape"
            f" {shape_text(shape)}"
        )
    wanted = " or ".join(f"({', '.join(pattern.split())})" for pattern in patterns)
    letters = {axis for pattern in patterns for axis in pattern.split()}
    known = ", ".join(f"{a} = {n}" for a, n in sizes.lengths.items() if a in letters)
    where = f" with {known}" if known else ""
    raise ArtifactError(f"expected the shape {wanted}{where} as {name}, got {shape_text(shape)}")


def _matched(axes: list[str], shape: tuple[int, ...], sizes: Sizes) -> Sizes | None:
    """Return `sizes` with the lengths of a shape; None if the pattern does not fit."""
    found = Sizes(dict(sizes.lengths), sizes.rest)
    if axes[-1:] == [REST]:
        axes, rest = axes[:-1], shape[len(axes) - 1 :]
        shape = shape[: len(axes)]
        if found.rest not in (None, rest):
            return None
        found.rest = rest
    elif axes[-1:] == [ONES]:
        axes = axes[:-1] + ["1"] * len(found.rest or ())
    if len(axes) != len(shape):
        return None
    for axis, length in zip(axes, shape, strict=True):
        expected = int(axis) if axis.isdigit() else found.lengths.setdefault(axis, length)
        if expected != length:
            return None
    return found
