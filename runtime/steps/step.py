"""What every step of a plan can do."""

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from bnnkit.runtime.threads import Part, split
from bnnkit.runtime.values import Buffers, Value

Values = Mapping[str, Value]


class Step(Protocol):
    """One call, or one call for each thread, of a plan.

    Attributes:
        name: The node's, for messages and profiles.
        target: The value that it computes.
    """

    @property
    def name(self) -> str: ...

    @property
    def target(self) -> str: ...

    def bind(self, values: Values, buffers: Buffers, threads: int) -> list[Part]:
        """Fix the arrays and the geometry; the parts may run at the same time.

        Args:
            values: What the names of buffers mean.
            buffers: By value name; those of the inputs and of the target exist.
            threads: At most so many parts.
        """
        ...


def over_images(kernel: Part, batch: int, threads: int) -> list[Part]:
    """A call of the kernel for each range of images; the range is its last two arguments."""
    return [partial(kernel, first, last) for first, last in split(batch, threads)]
