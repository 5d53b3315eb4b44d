"""Average pooling whose windows have different numbers of pixels, at the padded border."""

import numpy as np

from bnnkit.artifact.standard.pooling import Attributes, explicit_pads, pool_output
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.c_code.buffers import Call
from bnnkit.runtime.c_code.calls import Values, size_of, unary
from bnnkit.runtime.c_code.constants import Constants
from bnnkit.runtime.c_code.layers import window_fields
from bnnkit.runtime.memory.values import FLOAT, Array
from bnnkit.runtime.steps.window import KernelWindow


def average_pool(
    attributes: Attributes, source: str, target: str, values: Values, constants: Constants
) -> list[Call]:
    """Return the sums over the windows and their division by the numbers of pixels.

    Raises:
        UnsupportedError: If the value is not a map of float32.
    """
    value = values[source]
    if value.kind != "real" or value.dtype != FLOAT or len(value.shape) != 3:
        raise UnsupportedError("AveragePool of something else than a map of float32")
    rows, columns = (_Axis(attributes, axis, value.map[1 + axis]) for axis in range(2))
    window = KernelWindow(
        size=(rows.size, columns.size),
        stride=(rows.stride, columns.stride),
        dilation=(rows.dilation, columns.dilation),
        padding=(rows.before, columns.before),
        output=(rows.outputs, columns.outputs),
    )
    channels = value.map[0]
    record = constants.record("bnn_window", window_fields(value, window, 4 * channels))
    counts = constants.array(np.outer(rows.counts, columns.counts).astype(np.float32))
    pool = f"bnn_pool_reals(&{record}, {channels}, BNN_PADDED_SUM, {{x}}, {{y}});"
    divide = f"bnn_divide_pixels({{x}}, {size_of(values, target)}, {counts}, {{y}});"
    return [unary(pool, source, target), unary(divide, target, target)]


class _Axis:
    """The windows along one axis of an AveragePool."""

    def __init__(self, attributes: Attributes, axis: int, length: int) -> None:
        pads = explicit_pads(attributes)
        self.before, self.after = pads[axis], pads[2 + axis]
        self.size = int(attributes["kernel_shape"][axis])
        self.stride = int(attributes.get("strides", (1, 1))[axis])
        self.dilation = int(attributes.get("dilations", (1, 1))[axis])
        self.ceil = bool(attributes.get("ceil_mode", 0))
        self.counts_padding = bool(attributes.get("count_include_pad", 0))
        self.length = length

    @property
    def outputs(self) -> int:
        """Number of windows."""
        pads = self.before, self.after
        return pool_output(self.length, self.size, self.stride, pads, self.dilation, self.ceil)

    @property
    def counts(self) -> Array:
        """Pixels of each window that count."""
        starts = np.arange(self.outputs) * self.stride - self.before
        places = starts[:, None] + np.arange(self.size) * self.dilation
        first = -self.before if self.counts_padding else 0
        end = self.length + (self.after if self.counts_padding else 0)
        counted: Array = ((places >= first) & (places < end)).sum(axis=1)
        return counted
