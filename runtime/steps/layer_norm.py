"""Step of a layer norm over the channels of a map, optionally with the signs of the result."""

from dataclasses import dataclass

import numpy as np

from bnnkit.runtime.kernels.layer_norm import layer_norm
from bnnkit.runtime.kernels.records import LayerNormRecord
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.values import Array
from bnnkit.runtime.memory.weights import padded
from bnnkit.runtime.steps.step import KernelCall, kernel_call


@dataclass(frozen=True, kw_only=True)
class LayerNorm:
    """The layer norm of each pixel of a map.

    Attributes:
        scale: float32 (C,); bias likewise.
        epsilon: What is added to the variance.
        signs: Name of the value that receives the signs, or None.
    """

    name: str
    source: str
    target: str
    scale: Array
    bias: Array
    epsilon: float
    signs: str | None = None

    def bind(self, memory: Memory) -> KernelCall:
        zeros = np.zeros(len(self.scale), np.float32)
        record = LayerNormRecord(
            x=memory.map(self.source),
            y=memory.map(self.target),
            scale=memory.address(padded(self.scale)),
            bias=memory.address(padded(self.bias)),
            epsilon=memory.address(np.array([self.epsilon], np.float32)),
            signs=memory.map(self.signs) if self.signs else 0,
            zeros=memory.address(padded(zeros)),
        )
        return kernel_call(layer_norm, memory, record)
