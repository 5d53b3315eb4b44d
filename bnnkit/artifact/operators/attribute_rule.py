"""What the attributes of an operator may be, beyond the type that ONNX's schema states."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import onnx

from bnnkit.errors import ArtifactError, UnsupportedError

Attributes = Mapping[str, Any]
"""Attributes by name: ints, floats, strings as bytes, lists of them, tensors."""
Kind = Literal["INT", "INTS", "FLOAT", "FLOATS", "STRING", "STRINGS", "TENSOR"]
"""A type of `onnx.AttributeProto`."""

MOST_PIXELS: Final = 1 << 24
"""The largest size, stride, dilation or padding of a window."""


@dataclass(frozen=True, kw_only=True)
class AttributeRule:
    """The values that bnnkit takes of an attribute.

    Attributes:
        kind: Its type; only bnnkit's own operators state it, as ONNX's schemas hold the others.
        count: The number of numbers of a list; None for any.
        least: The smallest number; None if it has no bound.
        most: The largest.
        supported: The values that bnnkit computes; empty if it computes all that are valid.
        axes: The letters of a shape, as in `Operand.axes`; empty if it is not a shape.
    """

    kind: Kind | None = None
    count: int | None = None
    least: int | None = None
    most: int | None = None
    supported: tuple[Any, ...] = ()
    axes: tuple[str, ...] = ()

    def check(self, name: str, value: Any) -> None:
        """Check a value.

        Raises:
            ArtifactError: If the number of numbers or one of them is out of range.
            UnsupportedError: If bnnkit does not compute this value.
        """
        numbers = value if isinstance(value, list) else [value]
        if self.count is not None and len(numbers) != self.count:
            raise ArtifactError(
                f"expected {self.count} numbers as {name}, got {_few(numbers)}: export it again"
            )
        if any(not self._is_inside(number) for number in numbers):
            raise ArtifactError(f"expected {self._range} as {name}, got {_few(numbers)}")
        if self.supported and value not in self.supported:
            known = " or ".join(_text(one) for one in self.supported)
            raise UnsupportedError(
                f"bnnkit computes it with {name} {known}, not {_text(value)}: export it"
                " without this option"
            )

    def _is_inside(self, number: Any) -> bool:
        return (self.least is None or number >= self.least) and (
            self.most is None or number <= self.most
        )

    @property
    def _range(self) -> str:
        if self.most is None:
            return f"numbers of at least {self.least}"
        return f"numbers of {self.least} to {self.most}"


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _few(numbers: list[Any]) -> str:
    """Return a list as text, shortened."""
    shown = ", ".join(_text(number) for number in numbers[:8])
    return f"[{shown}, ... {len(numbers)} in all]" if len(numbers) > 8 else f"[{shown}]"


FLAG: Final = AttributeRule(least=0, most=1)
SIZES: Final = AttributeRule(least=1, most=MOST_PIXELS)
"""Sizes, strides and dilations of a window, one for each axis."""
PADS: Final = AttributeRule(least=0, most=MOST_PIXELS)
GROUP: Final = AttributeRule(least=1, most=MOST_PIXELS)


def words(*supported: str) -> AttributeRule:
    """Return the rule of an attribute of which bnnkit knows these words."""
    return AttributeRule(supported=tuple(word.encode() for word in supported))


def only(*supported: Any) -> AttributeRule:
    """Return the rule of an attribute of which bnnkit computes these values."""
    return AttributeRule(supported=supported)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name.

    Raises:
        ArtifactError: If an attribute is stated twice or has no value of its own.
    """
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.name in found:
            raise ArtifactError(f"expected one attribute {attribute.name!r}, it is stated twice")
        try:
            found[attribute.name] = onnx.helper.get_attribute_value(attribute)
        except ValueError as error:
            raise ArtifactError(f"the attribute {attribute.name!r} has no value") from error
    return found
