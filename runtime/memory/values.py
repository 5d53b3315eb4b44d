"""Values that steps pass on, and their layout in memory.

    kind    meaning                         buffer
    image   the network's input             as given: (N, C, H, W) or (N, F)
    signs   -1 and +1                       uint64 (N, H, W, words), packed as in bits.py
    nibbles signs, for table lookup         uint8 (N, H, W, 16 words), as in kernels/lookup.py
    sums    exact integers                  int32 (N, H, W, C)
    real    float32 or another type         (N, H, W, C) for a shape (C, H, W), else as in ONNX
    codes   signs as uint8 0 (-1) and 2     as real
    shape   integers that describe shapes   as in ONNX, without a batch

The channels of sums and reals are padded to whole vectors, which the kernels write. Vectors (F,)
of signs and sums are maps of one pixel. A map of signs or reals may have a margin, from which a
convolution reads its padding: clear bits (+1), zeros or `border`, which no step overwrites.

The layout of signs, sums and reals of other shapes may be a map's too. "channels last" is that of
any shape (..., W, C), whose axes before W are the rows. "sequence" is that of a shape (C, W), with
one row. So tokens (T, C), a sequence (C, T) and a map (C, 1, T) can be views of one memory.
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import n_words, unpack_signs
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.memory import aligned
from bnnkit.runtime.memory.weights import padded_channels

Kind = Literal["image", "signs", "nibbles", "sums", "real", "codes", "shape"]
Layout = Literal["onnx", "channels last", "sequence"]
Array = NDArray[Any]
Integers = NDArray[np.int64]
FLOAT = np.dtype(np.float32)


@dataclass(kw_only=True)
class Margin:
    """Pixels around a map, as many as its reader with the widest padding needs."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def widen(self, top: int, left: int, bottom: int, right: int) -> None:
        """Extend the margin for one more reader."""
        self.top, self.left = max(self.top, top), max(self.left, left)
        self.bottom, self.right = max(self.bottom, bottom), max(self.right, right)


@dataclass(frozen=True, kw_only=True)
class Value:
    """Kind, shape and layout of a value of the graph.

    Attributes:
        kind: One of the kinds in the table above.
        shape: ONNX's shape without the batch: (C, H, W), (F,), or any shape for reals.
        dtype: Element type of reals and images.
        margin: Margin around a map; it grows while the plan is built.
        spare: Extra channels in memory, which a layer with groups may overwrite.
        is_tight: Whether pixels have no padding channels; no kernel writes such a map in vectors.
        border: The numbers of a pixel in the margin of a tight map; zeros if None.
        layout: How a shape is a map for kernels, as above; "onnx" if it is not, or by its rank.
        view_of: Name of the value whose memory this one shows in another shape, or None.
    """

    kind: Kind
    shape: tuple[int, ...]
    dtype: np.dtype[Any] = FLOAT
    margin: Margin = field(default_factory=Margin)
    spare: int = 0
    is_tight: bool = False
    border: tuple[int, ...] | None = None
    layout: Layout = "onnx"
    view_of: str | None = None

    @property
    def is_map(self) -> bool:
        """Whether kernels can read the value as a map."""
        return self.layout != "onnx" or len(self.shape) in (1, 3)

    def alike(self, kind: Kind = "real") -> "Value":
        """Return a value of a kind, of float32 if it is real, with this shape and layout."""
        return Value(kind=kind, shape=self.shape, layout=self.layout)

    @property
    def map(self) -> tuple[int, int, int]:
        """(C, H, W); a vector is a map of one pixel.

        Raises:
            UnsupportedError: If the value is neither map nor vector.
        """
        if self.layout == "channels last":
            *outer, columns, depth = self.shape
            return depth, prod(outer), columns
        if self.layout == "sequence":
            return self.shape[0], 1, self.shape[1]
        if len(self.shape) not in (1, 3):
            raise UnsupportedError(
                "expected a map (N, C, H, W) or a vector (N, F), got the shape"
                f" (N, {', '.join(map(str, self.shape))})"
            )
        channels, *size = self.shape
        height, width = size or (1, 1)
        return channels, height, width

    def allocate(self, batch: int) -> Array:
        """Allocate a buffer of zeros for `batch` values, with the margin."""
        if self.kind == "shape":
            return np.zeros(self.shape, self.dtype)
        if self.layout != "onnx":
            return self._allocate_as_map(batch)
        is_real = self.kind in ("real", "codes")
        if self.kind == "image" or (is_real and len(self.shape) not in (1, 3)):
            return np.zeros((batch, *self.shape), self.dtype)
        if is_real and len(self.shape) == 1:
            (features,) = self.shape
            columns = padded_channels(features, 16)
            return aligned.zeros((batch, columns), self.dtype)[:, :features]
        channels, height, width = self.map
        size = (
            batch,
            height + self.margin.top + self.margin.bottom,
            width + self.margin.left + self.margin.right,
        )
        if self.kind == "signs":
            return aligned.zeros((*size, n_words(channels)), np.dtype(np.uint64))
        if self.kind == "nibbles":
            return aligned.zeros((*size, 16 * n_words(channels)), np.dtype(np.uint8))
        depth = channels if self.is_tight else padded_channels(channels + self.spare, 16)
        if self.kind == "sums":
            return aligned.zeros((*size, depth), np.dtype(np.int32))
        buffer = aligned.zeros((*size, depth), self.dtype)[..., :channels]
        if self.border is not None:
            buffer[...] = self.border
        return buffer

    def _allocate_as_map(self, batch: int) -> Array:
        channels, *size = self.map
        outer = self.shape[:-1] if self.layout == "channels last" else size
        if self.kind == "signs":
            return aligned.zeros((batch, *outer, n_words(channels)), np.dtype(np.uint64))
        depth = channels if self.is_tight else padded_channels(channels, 16)
        dtype = np.dtype(np.int32) if self.kind == "sums" else self.dtype
        return aligned.zeros((batch, *outer, depth), dtype)[..., :channels]

    def view(self, stored: Array) -> Array:
        """Return this value's buffer, given the map that it is a view of, in NHWC."""
        if self.layout != "channels last":
            return stored
        depth = self.shape[-1] if self.kind != "signs" else n_words(self.shape[-1])
        shape = (*self.shape[:-1], depth)
        if shape == stored.shape[1:]:
            return stored
        return stored[:, 0] if shape == stored.shape[2:] else stored.reshape(-1, *shape)

    def interior(self, buffer: Array) -> Array:
        """Return a view of a map's buffer without margin and padding channels, (N, H, W, ...)."""
        channels, height, width = self.map
        inner = buffer[:, self.margin.top :, self.margin.left :][:, :height, :width]
        return inner if self.kind in ("signs", "nibbles") else inner[..., :channels]

    def as_stored(self, buffer: Array) -> Array:
        """Return a view of a map or vector in NHWC; other values as they are."""
        if self.layout != "onnx":
            _, rows, columns = self.map
            return buffer.reshape(len(buffer), rows, columns, buffer.shape[-1])
        return self.interior(as_map(buffer)) if len(self.shape) in (1, 3) else buffer

    def to_onnx(self, buffer: Array) -> Array:
        """Return the value in ONNX's layout, (N, C, H, W) or (N, F); signs as uint8 0 and 2."""
        if self.layout != "onnx":
            if self.kind == "signs":
                buffer = (unpack_signs(buffer, self.map[0]) + 1).astype(np.uint8)
            return buffer if self.layout == "channels last" else buffer[:, 0].swapaxes(1, 2)
        is_real = self.kind in ("real", "codes")
        if self.kind in ("image", "shape") or (is_real and len(self.shape) != 3):
            return buffer
        inner = self.interior(buffer)
        if self.kind == "signs":
            inner = (unpack_signs(inner, self.map[0]) + 1).astype(np.uint8)
        nchw = inner.transpose(0, 3, 1, 2)
        return nchw if len(self.shape) == 3 else nchw.reshape(len(buffer), -1)


def as_map(buffer: Array) -> Array:
    """Return a view of a buffer (N, F) as (N, 1, 1, F); a map as it is."""
    return buffer[:, None, None, :] if buffer.ndim == 2 else buffer
