"""What one engine gave beside what the reference gave, counted over all images."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.sample import Sample
from bnnkit.errors import CheckpointError

Array = NDArray[Any]

OUTPUT_TOLERANCE = 1e-4
"""Of real outputs, absolute: the last layer sums real numbers, in an order of its own."""
MARGIN = 1e-3
"""How near to zero a number must be for its sign to differ, in root mean squares of its tensor."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an engine gave for a batch.

    Attributes:
        outputs: Those of the file, in its order.
        signs: By name: uint8, 0 is -1 and 2 is +1, (N, ...).
        real: For signs that rounding may change: the real numbers less the noise, (N, ...), by the
            signs' name.
    """

    outputs: tuple[Array, ...]
    signs: dict[str, Array]
    real: dict[str, Array]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A tensor of signs that differs.

    Attributes:
        name: Of the value in the artifact.
        n_bits: How many signs, of all images, in all passes.
        n_images: In how many images; one counts again in every pass.
        image: The first of them.
        sample: The pass in which it differs first; None is the deterministic one.
        index: Of its first sign that differs, such as (channel, row, column).
        expected: That sign in the reference, -1 or +1.
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
        engine: Its name.
        n_tensors: Tensors of signs that were compared.
        n_bits: All their signs, of all images, in all passes.
        differences: The tensors that differ, in the order of the graph, what is excused aside.
        excused_images: Images in which a sign differs by the rounding of a real number; one counts
            again in every pass.
        excused_bits: Signs that differ in them.
        largest_margin: How far from zero such a number was, in root mean squares of its tensor.
        n_classes_differ: Images whose class differs, those excused aside.
        output_difference: The largest absolute difference of an output, those excused aside.
        missing: Signs that the engine has and the artifact has not.
        uncovered: Signs that the engine must give and did not, in the order of the graph.
        not_in_memory: Other signs of the artifact that it did not give: they are never in memory.
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
        """Whether the engine computes what the reference does, at every sign that it must give."""
        differs = self.differences or self.missing or self.uncovered or self.n_classes_differ
        return not differs and self.output_difference <= OUTPUT_TOLERANCE


@dataclass(kw_only=True)
class _Count:
    """What is known so far of a tensor that differs."""

    n_bits: int
    n_images: int
    image: int
    sample: Sample | None
    index: tuple[int, ...]
    expected: int


@dataclass
class Tally:
    """Counts over batches; `comparison` is the result.

    Args:
        engine: The name of what is compared.
        order: Names of all signs in the artifact, in the order of the graph.
        required: Of these, those that the engine must give.
    """

    engine: str
    order: Sequence[str]
    required: Collection[str] = ()
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
        expected: Evaluation,
        found: Evaluation,
        *,
        first: int = 0,
        sample: Sample | None = None,
    ) -> None:
        """Compare a batch.

        Args:
            expected: What the reference gave.
            found: What the engine gave.
            first: The number of the first image.
            sample: Whose noise was drawn.

        Raises:
            CheckpointError: Signs of one name have different shapes: it is another network.
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
        """The result."""
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
        """Compare one tensor; images in which only rounding differs are marked in `excused`.

        Returns:
            Where it differs, these images aside.
        """
        if found.shape != expected.shape:
            raise CheckpointError(
                f"the signs {name!r} have shape {found.shape[1:]} in {self.engine} and"
                f" {expected.shape[1:]} in the model: it is another network"
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
            if index == 0 and want.ndim == 2:
                self._n_classes_differ += int((want.argmax(1) != have.argmax(1)).sum())
            distance = np.abs(want.astype(np.float64) - have.astype(np.float64))
            largest = distance.max(initial=0.0)  # a NaN stays one, and is not within any tolerance
            self._output_difference = float(np.maximum(self._output_difference, largest))


def _margins(real: Array, differs: Array) -> Array:
    """How far from zero the farthest number of each image whose sign differs is, (N,)."""
    size = np.sqrt(np.mean(np.square(real, dtype=np.float64))) or 1.0
    far = np.where(differs, np.abs(real), 0).reshape(len(real), -1)
    return np.asarray(far.max(axis=1) / size)
