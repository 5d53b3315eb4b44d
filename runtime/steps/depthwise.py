"""Depthwise convolution of reals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnkit.runtime.kernels.depthwise import depthwise
from bnnkit.runtime.kernels.records import DepthwiseRecord
from bnnkit.runtime.memory import Memory
from bnnkit.runtime.steps.step import KernelCall, kernel_call
from bnnkit.runtime.steps.window import Window


@dataclass(frozen=True, kw_only=True)
class Depthwise:
    """A kernel for each channel.

    Attributes:
        weights: float32, as `weights.depthwise_lanes` gives them.
        bias: float32, (channels padded to vectors,).
    """

    name: str
    source: str
    target: str
    window: Window
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def bind(self, memory: Memory) -> KernelCall:
        record = DepthwiseRecord(
            memory.map(self.source),
            memory.map(self.target),
            memory.address(self.weights),
            memory.address(self.bias),
            *self.window.fields,
        )
        return kernel_call(depthwise, memory, record)
