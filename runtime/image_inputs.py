"""Images as the inputs of a network, read in batches while they are used."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from bnnkit.artifact.format.graph import Graph
from bnnkit.artifact.format.input_batch import Batch
from bnnkit.errors import UsageError
from bnnkit.images.preprocessing import Preprocessing, stored_preprocessing
from bnnkit.images.reader import ImageReader, image_reader
from bnnkit.images.sources import image_paths
from bnnkit.runtime.inputs import check_inputs
from bnnkit.runtime.memory.values import Array

IMAGES_AT_ONCE: Final = 64
"""The number of images that are read, and in memory as inputs, at the same time."""


@dataclass(frozen=True, kw_only=True)
class NetworkInput:
    """What a network takes, and what its file says of images.

    Attributes:
        shape: The shape of one input.
        dtype: Its element type.
        metadata: The metadata of the file, by key without the prefix.
        channels_last: Whether the file's own layout is (H, W, C).
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    metadata: Mapping[str, str]
    channels_last: bool

    @classmethod
    def of(
        cls, graph: Graph, metadata: Mapping[str, str], *, channels_last: bool
    ) -> "NetworkInput":
        """Return the only input of a network.

        Raises:
            UsageError: If the network has several inputs.
        """
        if len(graph.inputs) > 1:
            raise UsageError(
                f"expected a network with one input for images, got one with the inputs"
                f" {', '.join(graph.input_names)}: give `run` or `predict` an array for each"
            )
        (one,) = graph.inputs
        return cls(
            shape=one.shape, dtype=one.dtype, metadata=metadata, channels_last=channels_last
        )

    def reader(self, preprocessing: Preprocessing | None = None) -> ImageReader:
        """Return what reads images for the network.

        Args:
            preprocessing: How images are resized and normalised; None for what the file says. If
                it says nothing, images are resized to cover the input, and real inputs are
                pixels / 255, which a warning says.

        Raises:
            UsageError: If the network takes no images, or the preprocessing does not fit.
        """
        chosen = preprocessing or stored_preprocessing(self.metadata)
        reader = image_reader(
            self.shape,
            self.dtype,
            chosen or Preprocessing(),
            channels_last=self.channels_last,
        )
        if chosen is None and self.dtype != np.uint8:
            warnings.warn(
                "the file does not say how the pixels of images become its real inputs: they are "
                "divided by 255, without mean and std; state both if the training had others",
                stacklevel=4,  # the caller of `classify`
            )
        return reader


@dataclass(frozen=True)
class ImageInputs:
    """N images that are read as inputs when a part of them is asked for.

    Attributes:
        reader: What reads them.
        sources: Files or images, N, as `ImageReader.read` takes.
        names: What to call them, N.
    """

    reader: ImageReader
    sources: Sequence[object]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, part: slice) -> Array:
        pairs = zip(self.sources[part], self.names[part], strict=True)
        return np.stack([self.reader.read(source, name) for source, name in pairs])


@dataclass(frozen=True)
class ArrayInputs:
    """N inputs in one array, or in one for each input of the network."""

    array: Batch

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, part: slice) -> Batch:
        return self.array[part]

    @property
    def names(self) -> tuple[str, ...]:
        """What to call them, N."""
        return tuple(f"image {n}" for n in range(len(self.array)))


def inputs_of(
    images: object, network: NetworkInput, preprocessing: Preprocessing | None = None
) -> ImageInputs | ArrayInputs:
    """Return images as inputs of a network.

    Args:
        images: A batch of inputs, an array of the network's own shape; or an image, or a sequence
            of images, each as `ImageReader.read` takes them, or the path of a folder.
        network: What it takes.
        preprocessing: As in `NetworkInput.reader`.

    Raises:
        UsageError: If the network takes no images, or there is none.
        FileError: If a folder cannot be read or holds no images.
    """
    if isinstance(images, np.ndarray) and images.ndim == len(network.shape) + 1:
        check_inputs(images, network.shape, network.dtype)
        return ArrayInputs(images)
    reader = network.reader(preprocessing)
    sources = [found for image in _each(images) for found in _opened(image)]
    if not sources:
        raise UsageError("expected one image or more, got none")
    return ImageInputs(reader, sources, tuple(map(_name, range(len(sources)), sources)))


def _each(images: object) -> Iterable[object]:
    """Return the images of a sequence; of one image only that."""
    if isinstance(images, list | tuple) or (
        isinstance(images, Iterable)
        and not isinstance(images, str | bytes | bytearray | memoryview | np.ndarray | os.PathLike)
        and not hasattr(images, "read")
        and not hasattr(images, "getexif")
    ):
        return images
    return (images,)


def _opened(image: object) -> Sequence[object]:
    return image_paths([Path(image)]) if isinstance(image, str | os.PathLike) else (image,)


def _name(number: int, source: object) -> str:
    name = source if isinstance(source, Path) else getattr(source, "name", None)
    return str(name) if isinstance(name, Path | str) else f"image {number}"
