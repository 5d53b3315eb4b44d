"""The ceiling of binary layers on this CPU: xor, popcount, add in registers, and nothing else.

A layer whose kernel reached it would load no input and no weight, and write nothing. Some
chains do not wait for each other, which hides the latency of each:

    y[i] ^= k[u],  sum[i] += popcount(y[i])       with four keys k in turn

Where signs are multiplied by table lookup (lookup.py), the two instructions of that are the
ceiling: y[i] += shuffle(k[u], y[i]). In both each step needs the one before and keys that only
memory knows, so the compiler can leave nothing out.
"""

import time

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from bnnkit.runtime.cpu import binary_form, has_512_bits
from bnnkit.runtime.kernels.compiled import compiled
from bnnkit.runtime.kernels.lookup import BYTES, opaque, shuffle
from bnnkit.runtime.kernels.vectors import I64, call, constant, load, store

CHAINS = {"popcount": 12, "lookup": 10}
"""They and the keys fill the registers."""
KEYS = 4
KERNEL = types.void(types.int64, types.int64, types.int64)
WORDS = 8 if has_512_bits() else 2
"""Words of a vector that is a register: of 512 bits, or of 128 as on ARM."""
VECTOR = {"popcount": WORDS * 8, "lookup": BYTES.count}
"""Bytes of a vector."""
MACS = {"popcount": WORDS * 64, "lookup": BYTES.count * 4}
"""Products of signs that one step of a chain stands for."""
ROUNDS = 10_000


def _popcount_step(builder, y, total, key):
    y = builder.xor(y, key)
    name = f"llvm.ctpop.v{WORDS}i64"
    return y, builder.add(total, call(builder, name, y))


def _lookup_step(builder, y, total, key):
    # The running value is the sum too: registers are few.
    y = opaque(builder, builder.add(y, shuffle(builder, key, y)))
    return y, total


FORMS = {
    "popcount": (ir.VectorType(I64, WORDS), _popcount_step),
    "lookup": (BYTES, _lookup_step),
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
        results = totals if form == "popcount" else running
        for i, slot in enumerate(results):
            store(builder, builder.load(slot), builder.add(sums_at, constant(size * i)), 1)
        return context.get_dummy_value()

    return generate


@intrinsic
def _popcounts(typing_context, values_at, sums_at, rounds):
    """The chains by popcount."""
    return KERNEL, _chains("popcount")


@intrinsic
def _lookups(typing_context, values_at, sums_at, rounds):
    """The chains by table lookup."""
    return KERNEL, _chains("lookup")


def count_popcounts(values_at, sums_at, rounds):
    """The chains as a kernel."""
    _popcounts(values_at, sums_at, rounds)


def count_lookups(values_at, sums_at, rounds):
    """The chains as a kernel."""
    _lookups(values_at, sums_at, rounds)


KERNELS = {"popcount": count_popcounts, "lookup": count_lookups}


def count(values: NDArray[np.uint8], rounds: int) -> NDArray[np.uint8]:
    """Run the chains in the form of this CPU.

    Args:
        values: uint8, (C + KEYS, VECTOR[form]), C chains: where the chains start, then the keys.
        rounds: Times that all keys are gone through.

    Returns:
        uint8, (C, VECTOR[form]): the sums.
    """
    sums = np.empty((len(values) - KEYS, values.shape[1]), np.uint8)
    kernel = compiled(KERNELS[binary_form()], KERNEL).ctypes
    kernel(values.ctypes.data, sums.ctypes.data, rounds)
    return sums


class Ceiling:
    """What this CPU could do at most; `sample` measures it once."""

    def __init__(self) -> None:
        form = binary_form()
        size = VECTOR[form]
        rng = np.random.default_rng(0)
        self._values = rng.integers(0, 256, (CHAINS[form] + KEYS, size), np.uint8)
        count(self._values, 1)

    def sample(self) -> float:
        """Multiplications of signs in a nanosecond (10^9 a second), on one thread."""
        start = time.perf_counter_ns()
        count(self._values, ROUNDS)
        elapsed = time.perf_counter_ns() - start
        form = binary_form()
        return ROUNDS * KEYS * CHAINS[form] * MACS[form] / elapsed
