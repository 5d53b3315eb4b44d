"""Peak throughput ("ceiling") of binary layers on this CPU: xor, popcount and add alone.

The benchmark loads no inputs or weights and stores nothing inside its loop. It runs several
independent chains of dependent instructions, so that their latencies overlap:

    y[i] ^= k[u],  sum[i] += popcount(y[i])       with four keys k in turn

On AArch64 the bits of every byte are counted, and sums are bytes (panel.py). Where signs are
multiplied by table lookup (lookup.py), the ceiling is set by its two instructions:
y[i] += shuffle(k[u], y[i]). In each form a step depends on the previous one and on keys loaded
from memory, so the compiler cannot remove any of them.
"""

import time
from collections.abc import Callable
from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from bnnkit.runtime.kernels import neon
from bnnkit.runtime.kernels.compiled import compiled
from bnnkit.runtime.kernels.cpu import BinaryForm, binary_form, has_512_bits
from bnnkit.runtime.kernels.lookup import BYTES, opaque, shuffle
from bnnkit.runtime.kernels.program import as_ctypes
from bnnkit.runtime.kernels.vectors import I64, call, constant, load, store

CHAINS = {"popcount": 12, "lookup": 10, "panel": 12}
"""Number of chains. Chains and keys together fill the vector registers."""
KEYS = 4
KERNEL = types.void(types.int64, types.int64, types.int64)
WORDS = 8 if has_512_bits() else 2
"""64-bit words in a vector register: 512 bits, or 128 bits."""
VECTOR = {"popcount": WORDS * 8, "lookup": BYTES.count, "panel": neon.BYTES.count}
"""Bytes in a vector."""
MACS = {"popcount": WORDS * 64, "lookup": BYTES.count * 4, "panel": neon.BYTES.count * 8}
"""Multiply-accumulates of signs that one step of a chain is equivalent to."""
ROUNDS = 10_000


def _popcount_step(builder, y, total, key):
    y = builder.xor(y, key)
    name = f"llvm.ctpop.v{WORDS}i64"
    return y, builder.add(total, call(builder, name, y))


def _lookup_step(builder, y, total, key):
    # The running value doubles as the sum, because registers are scarce.
    y = opaque(builder, builder.add(y, shuffle(builder, key, y)))
    return y, total


def _panel_step(builder, y, total, key):
    y = builder.xor(y, key)
    return y, neon.opaque(builder, builder.add(total, neon.count_bits(builder, y)))


FORMS = {
    "popcount": (ir.VectorType(I64, WORDS), _popcount_step),
    "lookup": (BYTES, _lookup_step),
    "panel": (neon.BYTES, _panel_step),
}


def _chains(form):
    vector, step = FORMS[form]
    size, chains = VECTOR[form], CHAINS[form]

    def generate(context, builder, _signature, arguments):
        values_at, sums_at, rounds = arguments
        values = [
            load(builder, builder.add(values_at, constant(size * i)), vector, 1)
            for i in range(chains + KEYS)
        ]
        running = [cgutils.alloca_once_value(builder, value) for value in values[:chains]]
        zero = ir.Constant(vector, None)
        totals = [cgutils.alloca_once_value(builder, zero) for _ in range(chains)]
        with cgutils.for_range(builder, rounds, intp=I64):
            for key in values[chains:]:
                for y_slot, total_slot in zip(running, totals, strict=True):
                    y, total = builder.load(y_slot), builder.load(total_slot)
                    y, total = step(builder, y, total, key)
                    builder.store(y, y_slot)
                    builder.store(total, total_slot)
        results = running if form == "lookup" else totals
        for i, slot in enumerate(results):
            store(builder, builder.load(slot), builder.add(sums_at, constant(size * i)), 1)
        return context.get_dummy_value()

    return generate


@intrinsic
def _popcounts(typing_context, values_at, sums_at, rounds):
    """Run the popcount chains."""
    return KERNEL, _chains("popcount")


@intrinsic
def _lookups(typing_context, values_at, sums_at, rounds):
    """Run the table-lookup chains."""
    return KERNEL, _chains("lookup")


@intrinsic
def _byte_popcounts(typing_context, values_at, sums_at, rounds):
    """Run the chains of byte popcounts."""
    return KERNEL, _chains("panel")


def count_popcounts(values_at, sums_at, rounds):
    """Kernel that runs the popcount chains."""
    _popcounts(values_at, sums_at, rounds)


def count_lookups(values_at, sums_at, rounds):
    """Kernel that runs the table-lookup chains."""
    _lookups(values_at, sums_at, rounds)


def count_byte_popcounts(values_at, sums_at, rounds):
    """Kernel that runs the chains of byte popcounts."""
    _byte_popcounts(values_at, sums_at, rounds)


KERNELS = {
    "popcount": count_popcounts,
    "lookup": count_lookups,
    "panel": count_byte_popcounts,
}


def count(form: BinaryForm, values: NDArray[np.uint8], rounds: int) -> NDArray[np.uint8]:
    """Run the chains of a form.

    Args:
        form: One that this CPU can execute.
        values: uint8, (C + KEYS, VECTOR[form]): the initial values of C chains, then the keys.
        rounds: Number of passes over all keys.

    Returns:
        uint8, (C, VECTOR[form]), the sums of the chains.
    """
    sums = np.empty((len(values) - KEYS, values.shape[1]), np.uint8)
    _kernel(form)(values.ctypes.data, sums.ctypes.data, rounds)
    return sums


@cache
def _kernel(form: BinaryForm) -> Callable[..., None]:
    return as_ctypes(compiled(KERNELS[form], KERNEL), 3)


class Ceiling:
    """Peak throughput of this CPU. Each call of `sample` measures it once."""

    def __init__(self) -> None:
        form = binary_form()
        size = VECTOR[form]
        rng = np.random.default_rng(0)
        self._values = rng.integers(0, 256, (CHAINS[form] + KEYS, size), np.uint8)
        count(form, self._values, 1)

    def sample(self) -> float:
        """Measure the throughput of one thread, in GMAC/s (10^9 sign products a second)."""
        form = binary_form()
        start = time.perf_counter_ns()
        count(form, self._values, ROUNDS)
        elapsed = time.perf_counter_ns() - start
        return ROUNDS * KEYS * CHAINS[form] * MACS[form] / elapsed
