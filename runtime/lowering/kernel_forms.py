"""The forms of kernels that a plan is lowered for: those of this CPU, or those of exported C."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from bnnkit.runtime.kernels.cpu import binary_form, has_512_bits, integer_form
from bnnkit.runtime.memory import weights
from bnnkit.runtime.memory.values import Array

IntegerForm = Literal["pairs", "shorts", "byte panels", "short panels", "floats"]


@dataclass(frozen=True, kw_only=True)
class KernelForms:
    """How kernels multiply, and the layout in which they read weights.

    Attributes:
        binary: How signs are multiplied with signs: by counting the bits of words, by looking up
            nibbles, in panels of four pixels, or as bytes with eight channels each.
        signed: How real numbers are multiplied with signs: eight signs a byte, or as float32.
        integer: How pixels are multiplied with int16 weights: pairs of them, single ones in any
            layer ("shorts"), in panels of int8 or int16 taps, or as float32.
        arrange: From weights (O, taps) to the layout of the kernels.
        shares_sums: Whether integer sums that do not depend on the noise are stored once for all
            samples, rather than computed again for each.
        fuses: Whether steps may be used that exported C lacks: all groups of a convolution in one,
            bit-sliced counters, skip connections and max-pooling within a layer.
        slices_groups: Whether bit-sliced counters compute convolutions of small groups.
        has_levels: Whether there are kernels of activations with few bits; if not, they are
            computed by the operators that the file has for them.
    """

    binary: Literal["popcount", "lookup", "panel", "bytes"]
    signed: Literal["octets", "floats"]
    integer: IntegerForm
    arrange: Callable[[Array], Array]
    shares_sums: bool
    fuses: bool
    slices_groups: bool
    has_levels: bool


def forms_of_this_cpu() -> KernelForms:
    """Return the fastest forms of this CPU."""
    return KernelForms(
        binary=binary_form(),
        signed="octets" if has_512_bits() else "floats",
        integer=integer_form(),
        arrange=weights.lanes,
        shares_sums=True,
        fuses=True,
        slices_groups=True,
        has_levels=True,
    )


def _rows(weight: Array) -> Array:
    return weight


FORMS_OF_C: Final = KernelForms(
    binary="bytes",
    signed="octets",
    integer="shorts",
    arrange=_rows,
    shares_sums=False,
    fuses=False,
    slices_groups=True,
    has_levels=False,
)
"""The forms of exported C, the same on every CPU. Its weights stay (O, taps)."""
