"""A plan bound to memory: programs of compiled kernels, and NumPy calls between them."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from bnnkit.runtime.kernels.program import address_of, prepare
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.steps.step import KernelCall, NumpyCall, Step
from bnnkit.runtime.threads import Program, run_program, thread_pool


class Executable:
    """Steps whose arguments are fixed addresses. Not thread-safe: one caller at a time.

    Attributes:
        memory: The buffers that the steps read and write.
        stages: Programs, which run any number of kernels in one call, and NumPy calls, in order.
    """

    def __init__(self, memory: Memory, steps: Sequence[Step]) -> None:
        self.memory = memory
        self.stages: list[Program | NumpyCall] = []
        calls = [call for step in steps if (call := step.bind(memory)) is not None]
        kernels = [call.kernel for call in calls if isinstance(call, KernelCall)]
        prepare(kernels, memory.threads)
        self._pool = thread_pool(memory.threads) if memory.threads > 1 else None
        for are_kernels, group in groupby(calls, lambda call: isinstance(call, KernelCall)):
            if are_kernels:
                self.stages.append(_program(group))
            else:
                self.stages += [call for call in group if not isinstance(call, KernelCall)]

    @property
    def nbytes(self) -> int:
        """Size of the buffers."""
        return self.memory.nbytes

    def run(self) -> None:
        """Compute every buffer from the input's. Infinities and NaN raise no warnings."""
        with np.errstate(all="ignore"):
            for stage in self.stages:
                if not isinstance(stage, Program):
                    stage()
                elif self._pool is None:
                    run_program(stage)
                else:
                    self._pool.run(stage)


def _program(calls: Iterable[KernelCall | NumpyCall]) -> Program:
    """Return the program of kernels that have been prepared."""
    return Program([(address_of(c.kernel), c.record) for c in calls if isinstance(c, KernelCall)])
