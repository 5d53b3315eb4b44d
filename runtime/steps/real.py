"""Steps of the real-valued parts: operators in NumPy, and the inputs of float kernels."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bnnkit.runtime.kernels import signs as kernels
from bnnkit.runtime.operators import arguments
from bnnkit.runtime.steps.step import Values, over_images
from bnnkit.runtime.threads import Part
from bnnkit.runtime.values import Array, Buffers, as_map

Source = str | Array | None
"""The name of a value, a constant, or an input that is left out."""


@dataclass(frozen=True, kw_only=True)
class Elementwise:
    """An operator that works on the buffers as they lie in memory, constants laid out alike."""

    name: str
    sources: tuple[Source, ...]
    target: str
    function: Callable[..., Array]
    attributes: dict[str, Any]

    def bind(self, values: Values, buffers: Buffers, threads: int) -> list[Part]:
        arrays = arguments([_stored(source, values, buffers) for source in self.sources])
        out = values[self.target].as_stored(buffers[self.target])

        def run() -> None:
            np.copyto(out, self.function(self.attributes, *arrays))

        return [run]


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An operator that works on arrays in ONNX's own layout."""

    name: str
    sources: tuple[Source, ...]
    target: str
    function: Callable[..., Array]
    attributes: dict[str, Any]

    def bind(self, values: Values, buffers: Buffers, threads: int) -> list[Part]:
        out = values[self.target].to_onnx(buffers[self.target])

        def run() -> None:
            arrays = [_in_onnx(source, values, buffers) for source in self.sources]
            np.copyto(out, self.function(self.attributes, *arguments(arrays)))

        if values[self.target].kind == "shape":  # known as soon as the batch is
            run()
            return []
        return [run]


@dataclass(frozen=True, kw_only=True)
class Centre:
    """Pixels less their zero point, as float32 in the margins that a convolution wants."""

    name: str
    source: str
    target: str
    zero_point: Array

    def bind(self, values: Values, buffers: Buffers, threads: int) -> list[Part]:
        image = values[self.source].to_onnx(buffers[self.source])
        image = image[:, :, None, None] if image.ndim == 2 else image
        out = values[self.target].interior(as_map(buffers[self.target]))
        kernel = partial(kernels.centre, image, self.zero_point, out)
        return over_images(kernel, len(image), threads)


@dataclass(frozen=True, kw_only=True)
class CopyReal:
    """The same numbers with the margins that a convolution wants."""

    name: str
    source: str
    target: str

    def bind(self, values: Values, buffers: Buffers, threads: int) -> list[Part]:
        x = values[self.source].to_onnx(buffers[self.source])
        out = values[self.target].to_onnx(buffers[self.target])
        return [partial(np.copyto, out, x)]


def _stored(source: Source, values: Values, buffers: Buffers) -> Array | None:
    return values[source].as_stored(buffers[source]) if isinstance(source, str) else source


def _in_onnx(source: Source, values: Values, buffers: Buffers) -> Array | None:
    return values[source].to_onnx(buffers[source]) if isinstance(source, str) else source
