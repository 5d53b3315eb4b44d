"""A plan bound to memory: programs of compiled kernels, and NumPy calls between them."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.steps.step import KernelCall, NumpyCall, Step
from bnnkit.runtime.threads import Program, run_program


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
        for are_kernels, group in groupby(calls, lambda call: isinstance(call, KernelCall)):
            if are_kernels:
                self.stages.append(np.array(list(group), np.int64))
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
                if isinstance(stage, np.ndarray):
                    run_program(stage, self.memory.threads)
                else:
                    stage()
