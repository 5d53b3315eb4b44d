"""The interface of a step, and the calls that binding a step gives."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from bnnkit.runtime.kernels.program import Kernel
from bnnkit.runtime.memory.memory import Memory

NumpyCall = Callable[[], None]


class KernelCall(NamedTuple):
    """A call of a compiled kernel, whose work any number of threads can share."""

    kernel: Kernel
    """The kernel, not compiled yet."""
    record: int
    """Address of its argument record."""


class Step(Protocol):
    """One operation of a plan."""

    @property
    def name(self) -> str:
        """Name of the graph's node, for messages and profiles."""
        ...

    @property
    def target(self) -> str:
        """Name of the value that the step computes."""
        ...

    def bind(self, memory: Memory) -> KernelCall | NumpyCall | None:
        """Fix all arguments to addresses in a memory.

        Returns:
            The call, or None if binding already computed the result.
        """
        ...


def kernel_call(kernel: Kernel, memory: Memory, record: NamedTuple) -> KernelCall:
    """Store a kernel's record in memory and return the call."""
    return KernelCall(kernel, memory.record(record))
