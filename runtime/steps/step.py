"""What every step of a plan can do."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from bnnkit.runtime.threads import Part, split
from bnnkit.runtime.values import Buffers, Value

Values = Mapping[str, Value]


class Step(Protocol):
    """One call of a plan, or one for each thread."""

    @property
    def name(self) -> str:
        """The node's name, for messages and profiles."""
        ...

    @property
    def target(self) -> str:
        """The value that the step computes."""
        ...

    def bind(self, values: Values, buffers: Buffers, threads: int) -> list[Part]:
        """Fix the arrays and the geometry; the parts may run at the same time.

        Args:
            values: What the names of buffers mean.
            buffers: By value name; those of the inputs and of the target exist.
            threads: At most so many parts.
        """
        ...


def over_images(kernel: Callable[..., Any], batch: int, threads: int) -> list[Part]:
    """A call of the kernel for each range of images; the range is its last two arguments."""
    return [partial(kernel, first, last) for first, last in split(batch, threads)]
