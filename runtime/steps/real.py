"""Steps on real values: chains of operations, inputs of float layers, pooling, NumPy operators."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnkit.artifact.standard import arguments
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.runtime.kernels import pooling
from bnnkit.runtime.kernels import reals as kernels
from bnnkit.runtime.kernels.program import Kernel
from bnnkit.runtime.kernels.records import CentreRecord, ChainRecord, Map, MoveRecord, PoolRecord
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.values import Array
from bnnkit.runtime.memory.weights import padded
from bnnkit.runtime.steps.step import KernelCall, NumpyCall, kernel_call
from bnnkit.runtime.steps.window import KernelWindow

PADDING = 16
"""Numbers behind the channels of a constant, so that kernels can read whole vectors."""
Source = str | Array | None
"""Name of a value, a constant, or None for an omitted input."""
Operation = tuple[int, str | Array]
"""Operation code (kernels/reals.py), and its operand: name of a map, one number per channel (C,),
or a constant map (H, W, C), with 1 for an axis along which it does not vary."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A chain of elementwise operations on a map, optionally with the signs of the result.

    Attributes:
        operations: At least one operation, in order.
        signs: Name of the value that receives the signs, or None.
    """

    name: str
    source: str
    target: str
    operations: tuple[Operation, ...]
    signs: str | None = None

    def bind(self, memory: Memory) -> KernelCall:
        operations = np.array(
            [(code, self._operand(memory, operand)) for code, operand in self.operations],
            np.int64,
        )
        channels = memory.values[self.source].map[0]
        record = ChainRecord(
            x=memory.map(self.source),
            count=len(operations),
            operations=memory.address(operations),
            y=memory.map(self.target),
            signs=memory.map(self.signs) if self.signs else 0,
            zeros=_numbers(memory, np.zeros(channels, np.float32)),
        )
        return kernel_call(kernels.chain, memory, record)

    def _operand(self, memory: Memory, operand: str | Array) -> int:
        """Return the address of an operand; a map with one row or column is broadcast."""
        if not isinstance(operand, str):
            if operand.ndim == 1:
                return _numbers(memory, operand)
            pixels = np.pad(operand.astype(np.float32), ((0, 0), (0, 0), (0, PADDING)))[None]
            return memory.map_in(pixels, self._broadcast(memory, pixels))
        if memory.values[operand].map[1:] == memory.values[self.source].map[1:]:
            return memory.map(operand)
        broadcast = self._broadcast(memory, memory.stored(operand))
        return memory.map_in(memory.buffers[operand], broadcast)

    def _broadcast(self, memory: Memory, pixels: Array) -> Map:
        """Describe (N, H, W, C) as a map of the size of the source; N, H and W may be 1."""
        images, own_rows, own_columns, _ = pixels.shape
        depth, rows, columns = memory.values[self.source].map
        image, row, pixel, _ = pixels.strides
        source_images = len(memory.buffers[self.source])
        return Map(
            data=int(pixels.ctypes.data),
            image=image if images > 1 else 0,
            row=row if own_rows > 1 else 0,
            pixel=pixel if own_columns > 1 else 0,
            images=source_images,
            rows=rows,
            columns=columns,
            depth=depth,
        )


def _numbers(memory: Memory, numbers: Array) -> int:
    return memory.address(padded(numbers.astype(np.float32)))


CENTRES: dict[np.dtype[Any], Kernel] = {
    np.dtype(np.float32): kernels.centre_floats,
    np.dtype(np.int16): kernels.centre_shorts,
    np.dtype(np.int8): kernels.centre_octets,
}
"""Kernel of `Centre`, by the dtype of its result."""


@dataclass(frozen=True, kw_only=True)
class Centre:
    """Pixels minus a number, in NHWC with the margin of a layer; float32, int16 or int8.

    Attributes:
        zero_point: float32 (C,), integers that are subtracted.
    """

    name: str
    source: str
    target: str
    zero_point: Array

    def bind(self, memory: Memory) -> KernelCall | NumpyCall:
        image = memory.onnx(self.source)
        image = image[:, :, None, None] if image.ndim == 2 else image
        if image.dtype != np.uint8 or (image.strides[3] != 1 and image.shape[3] > 1):
            return self._in_numpy(memory, image)
        images, channels, rows, columns = image.shape
        pixels = Map(
            data=int(image.ctypes.data),
            image=image.strides[0],
            row=image.strides[2],
            pixel=1,
            images=images,
            rows=rows,
            columns=columns,
            depth=channels,
        )
        record = CentreRecord(
            x=memory.map_in(memory.buffers[self.source], pixels),
            channel=image.strides[1],
            y=memory.map(self.target),
            zero_point=memory.address(self.zero_point),
        )
        return kernel_call(CENTRES[memory.values[self.target].dtype], memory, record)

    def _in_numpy(self, memory: Memory, image: Array) -> NumpyCall:
        """Subtract in NumPy, for pixels that are not uint8 or not contiguous."""
        out, zero_point = memory.onnx(self.target), self.zero_point[:, None, None]
        return lambda: np.copyto(out, image.astype(np.float32) - zero_point, casting="unsafe")


@dataclass(frozen=True, kw_only=True)
class CopyReal:
    """A copy in NHWC with the margin of a convolution, converted to the target's dtype."""

    name: str
    source: str
    target: str

    def bind(self, memory: Memory) -> NumpyCall:
        x, out = memory.onnx(self.source), memory.onnx(self.target)
        return lambda: np.copyto(out, x)


@dataclass(frozen=True, kw_only=True)
class FromChannelsLast:
    """A copy of a float32 input (N, H, W, C) with the margin of a convolution."""

    name: str
    source: str
    target: str

    def bind(self, memory: Memory) -> KernelCall:
        pixels = memory.buffers[self.source]
        images, rows, columns, depth = pixels.shape
        image, row, pixel, _ = pixels.strides
        source = Map(int(pixels.ctypes.data), image, row, pixel, images, rows, columns, depth)
        record = MoveRecord(memory.map_in(pixels, source), memory.map(self.target))
        return kernel_call(kernels.copy_reals, memory, record)


@dataclass(frozen=True, kw_only=True)
class CopyTokens:
    """A copy of real numbers (N, T, C) to a map of one row (N, C, 1, T), or the other way.

    Attributes:
        source: Name of a value of shape (T, C), or (C, 1, T); both have channels last in memory.
        target: Name of a value of the other shape.
    """

    name: str
    source: str
    target: str

    def bind(self, memory: Memory) -> KernelCall:
        record = MoveRecord(self._tokens(memory, self.source), self._tokens(memory, self.target))
        return kernel_call(kernels.copy_reals, memory, record)

    def _tokens(self, memory: Memory, name: str) -> int:
        """Describe a value as a map with a token in each row, which threads share out."""
        stored = memory.stored(name)
        tokens = stored[:, 0] if stored.ndim == 4 else stored
        images, count, depth = tokens.shape
        image, row, _ = tokens.strides
        return memory.map_in(
            memory.buffers[name],
            Map(int(tokens.ctypes.data), image, row, 0, images, count, 1, depth),
        )


@dataclass(frozen=True, kw_only=True)
class SwapRows:
    """A copy of (N, A, B, C) to (N, B, A, C), float32 with channels last."""

    name: str
    source: str
    target: str

    def bind(self, memory: Memory) -> KernelCall:
        x = memory.stored(self.source)
        y = memory.stored(self.target).swapaxes(1, 2)
        record = MoveRecord(
            _part(memory, self.source, x, x.shape), _part(memory, self.target, y, y.shape)
        )
        return kernel_call(kernels.copy_reals, memory, record)


@dataclass(frozen=True, kw_only=True)
class PoolReals:
    """Max-pooling or sum-pooling of a float32 map."""

    name: str
    source: str
    target: str
    is_maximum: bool
    window: KernelWindow

    def bind(self, memory: Memory) -> KernelCall:
        fields = self.window.fields
        record = PoolRecord(memory.map(self.source), memory.map(self.target), *fields)
        kernel = pooling.pool_maxima if self.is_maximum else pooling.pool_sums
        return kernel_call(kernel, memory, record)


@dataclass(frozen=True, kw_only=True)
class PlaceReals:
    """A copy of a map into part of a larger map, whose other elements keep their initial zeros.

    Attributes:
        first_channel: First channel of the copy.
        top: First row of the copy, in pixels.
        left: First column of the copy.
        spacing: Steps between the pixels of the copy, vertical and horizontal.
        part: First channel and number of channels that are copied; None for all.
        repeats: Whether it is one of several copies that repeat each pixel.
    """

    name: str
    source: str
    target: str
    first_channel: int = 0
    top: int = 0
    left: int = 0
    spacing: tuple[int, int] = (1, 1)
    part: tuple[int, int] | None = None
    repeats: bool = False

    def bind(self, memory: Memory) -> KernelCall:
        first, channels = self.part or (0, memory.values[self.source].map[0])
        part = memory.stored(self.source)[..., first : first + channels]
        down, right = self.spacing
        place = memory.stored(self.target)[
            :, self.top :: down, self.left :: right, self.first_channel :
        ]
        record = MoveRecord(
            _part(memory, self.source, part, part.shape),
            _part(memory, self.target, place, part.shape),
        )
        return kernel_call(kernels.copy_reals, memory, record)


def _part(memory: Memory, name: str, pixels: Array, shape: tuple[int, ...]) -> int:
    """Describe the pixels of a view of a map; the shape is that of the copy in NHWC."""
    image, row, pixel, _ = pixels.strides
    images, rows, columns, channels = shape
    described = Map(int(pixels.ctypes.data), image, row, pixel, images, rows, columns, channels)
    return memory.map_in(memory.buffers[name], described)


@dataclass(frozen=True, kw_only=True)
class NumpyOperator:
    """An operator computed by NumPy on arrays in ONNX's layout.

    Attributes:
        sources: Inputs in order.
        function: Takes the attributes, then the inputs.
        attributes: Attributes of the node.
    """

    name: str
    sources: tuple[Source, ...]
    target: str
    function: Callable[..., Array]
    attributes: Mapping[str, Any]

    def bind(self, memory: Memory) -> KernelCall | NumpyCall | None:
        out = memory.onnx(self.target)

        def run() -> None:
            arrays = [memory.onnx(s) if isinstance(s, str) else s for s in self.sources]
            try:
                result = self.function(self.attributes, *arguments(arrays))
            except IndexError as error:
                raise UsageError(
                    f"node {self.name!r}: an index computed from the inputs is out of range:"
                    f" {error}"
                ) from error
            if result.shape != out.shape:
                raise UnsupportedError(
                    f"node {self.name!r}: expected a result of shape {out.shape} for this batch,"
                    f" got {result.shape}"
                )
            np.copyto(out, result)

        if memory.values[self.target].kind == "shape":  # known once the batch size is
            run()
            return None
        return run
