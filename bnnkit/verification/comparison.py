"""Differences between one engine and the reference, counted over all images."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.output_kinds import OF_CLASSES, OutputKind
from bnnkit.artifact.rounding import MARGIN, OUTPUT_TOLERANCE
from bnnkit.errors import CheckpointError

Array = NDArray[Any]

_LARGE = 10
"""Real values are compared in proportion to the largest one of their image above this number."""


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """The results of one engine for a batch.

    Attributes:
        outputs: The outputs of the file, in its order.
        signs: The signs by name: uint8, 0 for -1 and 2 for +1, (N, ...).
        real: For signs that rounding may change: the real numbers minus the noise, (N, ...), by
            the signs' name.
    """

    outputs: tuple[Array, ...]
    signs: dict[str, Array]
    real: dict[str, Array]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A tensor of signs that differs from the reference.

    Attributes:
        name: The name of the value in the artifact.
        n_bits: The number of signs that differ, over all images and passes.
        n_images: The number of images with a difference, counted once per pass.
        image: The number of the first image with a difference.
        sample: The pass with the first difference; None is the deterministic one.
        index: The position of the first difference, such as (channel, row, column).
        expected: The sign of the reference there, -1 or +1.
    """

    name: str
    n_bits: int
    n_images: int
    image: int
    sample: Sample | None
    index: tuple[int, ...]
    expected: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How an engine compares with the reference.

    Attributes:
        engine: The name of the engine.
        n_tensors: The number of sign tensors that were compared.
        n_bits: The number of their signs, over all images and passes.
        differences: The tensors that differ, in the order of the graph, without excused images.
        excused_images: The number of images in which a sign differs because of the rounding of a
            real number, counted once per pass.
        excused_bits: The number of signs that differ in excused images.
        largest_margin: The largest distance from zero of such a real number, in units of the root
            mean square of its tensor.
        n_classes_differ: The number of images, without excused ones, whose class differs; 0 if the
            first output is not of classes.
        output_difference: The largest absolute difference of an output, without excused images;
            of outputs that hold real values (`OutputKind` "values"), in images with numbers above
            10: in proportion, in tenths of the image's largest number.
        missing: Signs that the engine has and the artifact lacks.
        uncovered: Signs that the engine must have and lacks, in the order of the graph.
        not_in_memory: Other signs of the artifact that the engine never holds in memory.
    """

    engine: str
    n_tensors: int
    n_bits: int
    differences: tuple[Difference, ...]
    excused_images: int
    excused_bits: int
    largest_margin: float
    n_classes_differ: int
    output_difference: float
    missing: tuple[str, ...]
    uncovered: tuple[str, ...]
    not_in_memory: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether the engine equals the reference, and has every sign that it must have."""
        differs = self.differences or self.missing or self.uncovered or self.n_classes_differ
        return not differs and self.output_difference <= OUTPUT_TOLERANCE


@dataclass(kw_only=True)
class _Count:
    """The differences of one tensor so far; attributes as in `Difference`."""

    n_bits: int
    n_images: int
    image: int
    sample: Sample | None
    index: tuple[int, ...]
    expected: int


@dataclass
class Tally:
    """Counts differences over batches; `comparison` returns the result.

    Args:
        engine: The name of the engine.
        order: The names of all signs in the artifact, in the order of the graph.
        required: The names of the signs that the engine must have.
        output_kinds: What each output holds; class scores if nothing is given.
    """

    engine: str
    order: Sequence[str]
    required: Collection[str] = ()
    output_kinds: Sequence[OutputKind] = ()
    _n_bits: int = 0
    _names: set[str] = field(default_factory=set)
    _absent: set[str] = field(default_factory=set)
    _counts: dict[str, _Count] = field(default_factory=dict)
    _excused_images: int = 0
    _excused_bits: int = 0
    _largest_margin: float = 0.0
    _n_classes_differ: int = 0
    _output_difference: float = 0.0

    def add(
        self,
        expected: BatchResult,
        found: BatchResult,
        *,
        first: int = 0,
        sample: Sample | None = None,
    ) -> None:
        """Compare a batch.

        Args:
            expected: The results of the reference.
            found: The results of the engine.
            first: The number of the first image.
            sample: The sample whose noise was used; None is the deterministic pass.

        Raises:
            CheckpointError: If signs of the same name have different shapes.
        """
        n_images = len(expected.outputs[0])
        excused = np.zeros(n_images, np.bool_)
        for name in self.order:
            if name in found.signs:
                real = found.real.get(name, expected.real.get(name))
                counted = self._add_signs(
                    name, expected.signs[name], found.signs[name], real, excused
                )
                self._count(name, expected.signs[name], counted, first, sample)
        self._names.update(found.signs)
        self._absent.update(set(self.order).difference(found.signs))
        self._excused_images += int(excused.sum())
        self._add_outputs(expected.outputs, found.outputs, ~excused)

    def comparison(self) -> Comparison:
        """Return the result."""
        absent = [name for name in self.order if name in self._absent]
        return Comparison(
            engine=self.engine,
            n_tensors=len(self._names.intersection(self.order)),
            n_bits=self._n_bits,
            differences=tuple(
                Difference(name=name, **vars(self._counts[name]))
                for name in self.order
                if name in self._counts
            ),
            excused_images=self._excused_images,
            excused_bits=self._excused_bits,
            largest_margin=self._largest_margin,
            n_classes_differ=self._n_classes_differ,
            output_difference=self._output_difference,
            missing=tuple(sorted(self._names.difference(self.order))),
            uncovered=tuple(name for name in absent if name in self.required),
            not_in_memory=tuple(name for name in absent if name not in self.required),
        )

    def _add_signs(
        self, name: str, expected: Array, found: Array, real: Array | None, excused: Array
    ) -> Array:
        """Compare one tensor; mark images that differ only by rounding in `excused`.

        Returns:
            A mask of the signs that differ, without excused images.
        """
        if found.shape != expected.shape:
            raise CheckpointError(
                f"the signs {name!r} have shape {found.shape[1:]} in {self.engine} and"
                f" {expected.shape[1:]} in the model: they are different networks; give the"
                " checkpoint that the model was exported from"
            )
        differs = found != expected
        self._n_bits += differs.size
        bits = differs.reshape(len(differs), -1).sum(axis=1)
        if real is not None and bits.any():
            margins = _margins(real, differs)
            rounds = (bits > 0) & ~excused & (margins <= MARGIN)
            self._largest_margin = max(self._largest_margin, margins[rounds].max(initial=0.0))
            excused |= rounds
        self._excused_bits += int(bits[excused].sum())
        counted: Array = differs & ~excused.reshape(-1, *[1] * (differs.ndim - 1))
        return counted

    def _count(
        self, name: str, expected: Array, differs: Array, first: int, sample: Sample | None
    ) -> None:
        where = np.argwhere(differs)
        if len(where) == 0:
            return
        image, *index = where[0].tolist()
        new = _Count(
            n_bits=0,
            n_images=0,
            image=first + image,
            sample=sample,
            index=tuple(index),
            expected=int(expected[tuple(where[0])]) - 1,
        )
        count = self._counts.setdefault(name, new)
        count.n_bits += len(where)
        count.n_images += len(np.unique(where[:, 0]))

    def _add_outputs(
        self, expected: tuple[Array, ...], found: tuple[Array, ...], counted: Array
    ) -> None:
        for index, (want, have) in enumerate(zip(expected, found, strict=True)):
            want, have = want[counted], have[counted]
            kind = self.output_kinds[index] if self.output_kinds else "scores"
            if index == 0 and want.ndim == 2 and kind in OF_CLASSES:
                self._n_classes_differ += int((want.argmax(1) != have.argmax(1)).sum())
            distance = np.abs(want.astype(np.float64) - have.astype(np.float64))
            if kind == "values":
                distance /= _units(want)
            largest = distance.max(initial=0.0)  # NaN propagates and exceeds every tolerance
            self._output_difference = float(np.maximum(self._output_difference, largest))


def _units(values: Array) -> Array:
    """Return the tolerance's unit for each image, (N, 1, ...): float32 rounds in proportion."""
    sizes = np.abs(values.astype(np.float64))
    largest = sizes.max(axis=tuple(range(1, sizes.ndim)), keepdims=True, initial=0.0)
    return np.asarray(np.maximum(1.0, largest / _LARGE))


def _margins(real: Array, differs: Array) -> Array:
    """Return the largest distance from zero, per image, of a number whose sign differs, (N,)."""
    size = np.sqrt(np.mean(np.square(real, dtype=np.float64))) or 1.0
    far = np.where(differs, np.abs(real), 0).reshape(len(real), -1)
    return np.asarray(far.max(axis=1) / size)
