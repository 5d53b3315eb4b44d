"""Larq Compute Engine with the kernel that is its fastest on x86, not its default."""

from typing import Any

import onnx
from numpy.typing import NDArray

from bnnkit.engine import Engine
from bnnkit.lce import LarqComputeEngine

Array = NDArray[Any]


class Lce(Engine):
    """LCE on the artifact as a TFLite file, `use_indirect_bgemm=True`."""

    name = "lce"

    def __init__(self, model: onnx.ModelProto, threads: int = 1) -> None:
        super().__init__(model)
        self._lce = LarqComputeEngine(model, threads=threads, kernel="indirect")
        self.version = self._lce.version

    def run(self, images: Array) -> tuple[Array, ...]:
        """As `Engine.run`."""
        return self._lce.run(images)

    def trace(self, images: Array) -> dict[str, Array]:
        """As `Engine.trace`."""
        return self._lce.trace(images)
