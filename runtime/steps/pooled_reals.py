"""Step of a layer of reals followed by max-pooling (kernels/pooled_reals.py)."""

from dataclasses import dataclass, replace

import numpy as np

from bnnkit.runtime.kernels.pooled_reals import floats_to_pooled_reals, pairs_to_pooled_reals
from bnnkit.runtime.kernels.records_of_convolutions import PooledRealsRecord
from bnnkit.runtime.memory import aligned
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.weights import padded_channels
from bnnkit.runtime.steps.convolution import FLOATS, PAIRS, Convolution
from bnnkit.runtime.steps.step import KernelCall, kernel_call
from bnnkit.runtime.steps.window import KernelWindow

KERNELS = {PAIRS: pairs_to_pooled_reals, FLOATS: floats_to_pooled_reals}
"""Kernel by the dtype of the weights."""
CACHE = 1 << 18
"""Bytes of rows that stay in the second-level cache, beside weights and inputs."""


@dataclass(frozen=True, kw_only=True)
class PooledReals:
    """A convolution whose reals are only read by a max-pooling.

    Attributes:
        convolution: The convolution; its target is that of the pooling.
        pool: Geometry of the pooling, without dilation.
    """

    name: str
    source: str
    target: str
    convolution: Convolution
    pool: KernelWindow

    def bind(self, memory: Memory) -> KernelCall:
        (rows, columns), (down, _) = self.convolution.window.output, self.pool.stride
        pixel = 4 * padded_channels(self.convolution.channels, 16)
        line, height = columns * pixel, self.pool.size[0]
        band = max(1, min(self.pool.output[0], (CACHE // line - height) // down + 1))
        lines = min(rows, (band - 1) * down + height)
        scratch = aligned.zeros((memory.threads * lines * line,), np.dtype(np.uint8))
        whole = replace(self.convolution, target=self.target).record(memory)
        convolution = whole._replace(
            rows=lines, y=memory.address(scratch), y_image=0, y_row=line, y_pixel=pixel
        )
        record = PooledRealsRecord(
            memory.record(convolution),
            lines * line,
            memory.map(self.target),
            rows,
            band,
            *self.pool.fields,
        )
        return kernel_call(KERNELS[self.convolution.weights.dtype], memory, record)
