"""Step of a depthwise convolution of float32 maps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnkit.runtime.kernels.depthwise import depthwise
from bnnkit.runtime.kernels.records_of_convolutions import DepthwiseRecord
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.steps.step import KernelCall, kernel_call
from bnnkit.runtime.steps.window import KernelWindow


@dataclass(frozen=True, kw_only=True)
class Depthwise:
    """A depthwise convolution: each channel has its own kernel.

    Attributes:
        window: Geometry of the kernel.
        weights: float32, in the layout of `weights.depthwise_lanes`.
        bias: float32 (channels padded to whole vectors,).
    """

    name: str
    source: str
    target: str
    window: KernelWindow
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
