"""Options of Larq Compute Engine's operators, which a file stores as maps (flexbuffer.py).

The fields are in the order in which LCE's converter writes them, so the bytes are the same.

References:
    https://docs.larq.dev/compute-engine/operators/ and the sources of version 0.16.0.
"""

from dataclasses import dataclass, fields
from typing import TypeVar, get_type_hints

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.tflite.fields import Options, member_of
from bnnkit.tflite.flexbuffer import read_map
from bnnkit.tflite.schema import Activation, Padding

Kind = TypeVar("Kind", bound="LceOptions")


@dataclass(frozen=True, kw_only=True)
class LceOptions(Options):
    """Options that are stored as a map; every field is an integer and has to be present."""


@dataclass(frozen=True, kw_only=True)
class LceBconv2dOptions(LceOptions):
    """LceBconv2d.

    Attributes:
        channels_in: Channels of the input, those of all groups together.
        dilation_height_factor: Vertical dilation.
        dilation_width_factor: Horizontal dilation.
        fused_activation_function: Applied to the sums, before they are scaled.
        pad_values: What SAME pads with, 0 or 1.
        padding: SAME or VALID.
        stride_height: Vertical stride.
        stride_width: Horizontal stride.
    """

    channels_in: int
    dilation_height_factor: int
    dilation_width_factor: int
    fused_activation_function: Activation = Activation.NONE
    pad_values: int
    padding: Padding
    stride_height: int
    stride_width: int


@dataclass(frozen=True, kw_only=True)
class LceBMaxPool2dOptions(LceOptions):
    """LceBMaxPool2d."""

    padding: Padding
    stride_width: int
    stride_height: int
    filter_width: int
    filter_height: int


def from_map(kind: type[Kind], data: bytes) -> Kind:
    """The options that a map holds.

    Args:
        kind: The options of the operator.
        data: The map as a FlexBuffer.

    Raises:
        ArtifactError: The map is damaged, or lacks an option.
        UnsupportedError: The map has an unknown option, or one has an unknown value.
    """
    found, names = read_map(data), [field.name for field in fields(kind)]
    if missing := sorted(set(names) - found.keys()):
        raise ArtifactError(f"the options lack {', '.join(missing)}")
    if unknown := sorted(found.keys() - set(names)):
        raise UnsupportedError(f"unknown options {', '.join(unknown)}")
    types = get_type_hints(kind)
    return kind(**{name: member_of(types[name], found[name], name) for name in names})


def to_map(options: LceOptions) -> dict[str, int]:
    """The options as a map, in the order in which LCE's converter writes them."""
    return {field.name: int(getattr(options, field.name)) for field in fields(options)}
