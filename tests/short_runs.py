"""Stop a training run at one of its steps, as Ctrl-C does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from torch import Tensor

from bnnkit.training.task import batch_totals


@contextmanager
def interrupted_at(number: int) -> Iterator[None]:
    """Raise KeyboardInterrupt at this step of the run inside; it has to pass through."""
    steps = 0

    def interrupting(*args: Any) -> Tensor:
        nonlocal steps
        steps += 1
        if steps == number:
            raise KeyboardInterrupt
        return batch_totals(*args)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bnnkit.training.step.batch_totals", interrupting)
        with pytest.raises(KeyboardInterrupt):
            yield
