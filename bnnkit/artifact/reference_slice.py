"""A Slice for the reference executor: ONNX's own departs from the definition at the ends."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[Any]


class Slice(OpRun):
    """Takes elements by their places; ends beyond an axis are moved to its nearest element.

    ONNX's implementation uses Python's slices, which are empty where a negative step starts before
    the first element.
    """

    op_domain = ""

    def _run(
        self,
        x: Array,
        starts: Array,
        ends: Array,
        axes: Array | None = None,
        steps: Array | None = None,
    ) -> tuple[Array]:
        along = range(len(starts)) if axes is None else axes.tolist()
        jumps = [1] * len(starts) if steps is None else steps.tolist()
        for axis, start, end, step in zip(
            along, starts.tolist(), ends.tolist(), jumps, strict=True
        ):
            x = np.take(x, _places(x.shape[axis], start, end, step), axis)
        return (x,)


def _places(size: int, start: int, end: int, step: int) -> list[int]:
    """Return the places that a Slice takes of an axis."""
    # The end is not taken: for a negative step it may lie before the first element.
    lowest_end, highest_start = (0, size) if step > 0 else (-1, size - 1)
    start, end = (place + size if place < 0 else place for place in (start, end))
    first = min(max(start, 0), highest_start)
    last = min(max(end, lowest_end), size if step > 0 else size - 1)
    return list(range(first, last, step))
