"""Compilation ahead of time of all kernels that this CPU uses."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bnnkit.runtime.kernels import depthwise, lookup, pooling, reals, sampling, signs, softmax
from bnnkit.runtime.kernels.compiled import cache_folder
from bnnkit.runtime.kernels.cpu import CpuIntegerForm, binary_form, has_512_bits, integer_form
from bnnkit.runtime.kernels.program import ENTRIES, Kernel, address_of, entry
from bnnkit.runtime.steps.convolution import (
    KERNELS,
    NIBBLES,
    OCTETS,
    PAIRS,
    PANELS,
    QUADS,
    SHORTS,
    WORDS,
)

__all__ = ["cache_folder", "kernels_of_this_cpu", "warm_up"]
CENTRES: dict[CpuIntegerForm, Kernel] = {
    "pairs": reals.centre_shorts,
    "byte panels": reals.centre_octets,
    "short panels": reals.centre_shorts,
    "floats": reals.centre_floats,
}
"""Kernel that subtracts zero points, by the form of the layer."""


def kernels_of_this_cpu() -> list[Kernel]:
    """Return the kernels that networks commonly need on this CPU."""
    forms: dict[str, np.dtype[Any]] = {"popcount": WORDS, "lookup": NIBBLES, "panel": PANELS}
    unused = set(forms.values()) - {forms[binary_form()]}
    if not has_512_bits():
        unused.add(OCTETS)
    integers: dict[CpuIntegerForm, np.dtype[Any]] = {
        "pairs": PAIRS,
        "byte panels": QUADS,
        "short panels": SHORTS,
    }
    unused |= {dtype for form, dtype in integers.items() if form != integer_form()}
    convolutions = [kernel for (dtype, _), kernel in KERNELS.items() if dtype not in unused]
    unpacks = [lookup.unpack_nibbles] if binary_form() == "lookup" else []
    moves = [signs.pack_reals, signs.pack_sums, signs.unpack, signs.copy_signs]
    return [
        *convolutions,
        *unpacks,
        *moves,
        sampling.sample_reals,
        sampling.sample_sums,
        signs.max_pool,
        signs.align_groups,
        reals.chain,
        CENTRES[integer_form()],
        reals.copy_reals,
        pooling.pool_maxima,
        softmax.softmax_pixels,
        pooling.pool_sums,
        depthwise.depthwise,
    ]


def warm_up() -> Iterator[str]:
    """Compile kernels that are not in the disk cache; yields each name when it is ready."""
    for function in ENTRIES:
        entry(function)
        yield function.__name__
    for kernel in kernels_of_this_cpu():
        address_of(kernel)
        yield kernel.__name__
    for function in softmax.KERNELS:
        softmax.as_function(function)
        yield function.__name__
