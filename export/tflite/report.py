"""What an export to TFLite chose, and what it costs."""

from dataclasses import dataclass
from typing import Literal, Self

Variant = Literal["lce", "builtin"]
"""Operators of Larq Compute Engine and TFLite's own, or these alone."""


@dataclass(frozen=True)
class Cost:
    """What a part of a network takes.

    Attributes:
        operators: How many.
        activation_bytes: Of the tensors that they make, for one image.
    """

    operators: int = 0
    activation_bytes: int = 0

    def __add__(self, other: Self) -> Self:
        """Both."""
        return type(self)(
            self.operators + other.operators, self.activation_bytes + other.activation_bytes
        )

    def __sub__(self, other: Self) -> Self:
        """How much more it takes than the other one."""
        return type(self)(
            self.operators - other.operators, self.activation_bytes - other.activation_bytes
        )


@dataclass(frozen=True)
class Choice:
    """One layer that has no operator of its own in the file's variant.

    Attributes:
        layer: Name of its value in the artifact.
        form: What stands in the file for it.
        reason: Why.
        extra_bytes: Of constants that the usual form would not need.
        extra_operators: More than in the usual form, which is one operator of LCE where there is
            one.
        extra_activation_bytes: Of the tensors that they make, for one image, more than in the
            usual form.
    """

    layer: str
    form: str
    reason: str
    extra_bytes: int
    extra_operators: int
    extra_activation_bytes: int


@dataclass(frozen=True, kw_only=True)
class UniformInput:
    """An input of a sampling file: uniform numbers, one for each noisy sign of a layer.

    Attributes:
        name: Of the input, float32 (N, H, W, C).
        layer: The number of the noisy sign (docs/artifact.md, Sampling).
        shape: Of the signs in the artifact, without the batch.
        map: (C, H, W).
    """

    name: str
    layer: int
    shape: tuple[int, ...]
    map: tuple[int, int, int]


@dataclass(frozen=True)
class TfliteReport:
    """What is in the file; `dataclasses.asdict` makes it JSON.

    Attributes:
        variant: Which operators there may be.
        batch: Images in a run; it is fixed.
        input_shape: With the batch, NHWC.
        operators: How many of each there are.
        choices: In the order of the graph.
        uniform_inputs: The inputs of the file behind the image, in their order.
        file_bytes: The whole file.
        artifact_bytes: The artifact it was made of, for comparison.
    """

    variant: Variant
    batch: int
    input_shape: tuple[int, ...]
    operators: dict[str, int]
    choices: tuple[Choice, ...]
    uniform_inputs: tuple[UniformInput, ...]
    file_bytes: int
    artifact_bytes: int
