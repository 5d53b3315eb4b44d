"""A Pad for the reference executor: ONNX's own fails where a negative number of elements crops."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[Any]


class Pad(OpRun):
    """Crops first, then pads, as ONNX Runtime does."""

    op_domain = ""

    def _run(
        self,
        x: Array,
        pads: Array,
        value: Array | None = None,
        axes: Array | None = None,
        mode: str | None = None,
    ) -> tuple[Array]:
        along = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes.tolist()]
        widths = [(0, 0)] * x.ndim
        for axis, before, after in zip(along, *pads.reshape(2, -1).tolist(), strict=True):
            widths[axis] = (max(0, before), max(0, after))
            kept = range(max(0, -before), x.shape[axis] - max(0, -after))
            x = x.take(kept, axis)
        if mode in (None, "constant"):
            fill = 0 if value is None else value.reshape(())
            return (np.pad(x, widths, constant_values=fill),)
        return (np.pad(x, widths, mode=mode),)  # type: ignore[call-overload]
