"""What every step of a plan can do."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from bnnkit.runtime.kernels.program import address_of
from bnnkit.runtime.memory import Memory

Kernel = Callable[[int, int, int], None]
NumpyCall = Callable[[], None]


class KernelCall(NamedTuple):
    """A call of a compiled kernel, which any number of threads may share."""

    kernel: int
    """Address of the machine code."""
    record: int
    """Address of its record."""


class Step(Protocol):
    """One operation of a plan."""

    @property
    def name(self) -> str:
        """The node's name, for messages and profiles."""
        ...

    @property
    def target(self) -> str:
        """The value that the step computes."""
        ...

    def bind(self, memory: Memory) -> KernelCall | NumpyCall | None:
        """The step with all its arguments fixed, or None where it is done by binding."""
        ...


def kernel_call(kernel: Kernel, memory: Memory, record: NamedTuple) -> KernelCall:
    """A call of a kernel with its record."""
    return KernelCall(address_of(kernel), memory.record(record))
