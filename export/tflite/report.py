"""The report of an export to TFLite: what it chose for each layer, and what that costs."""

from dataclasses import dataclass
from typing import Literal

from typing_extensions import Self

Variant = Literal["lce", "builtin"]
"""Operators of Larq Compute Engine and builtin ones, or builtin operators alone."""


@dataclass(frozen=True)
class Cost:
    """The cost of a part of a network.

    Attributes:
        operators: Number of operators.
        activation_bytes: Size of their outputs for one image.
    """

    operators: int = 0
    activation_bytes: int = 0

    def __add__(self, other: Self) -> Self:
        """The cost of both parts."""
        return type(self)(
            self.operators + other.operators, self.activation_bytes + other.activation_bytes
        )

    def __sub__(self, other: Self) -> Self:
        """The additional cost compared with the other part."""
        return type(self)(
            self.operators - other.operators, self.activation_bytes - other.activation_bytes
        )


@dataclass(frozen=True)
class Choice:
    """The form of a layer for which the file's variant has no operator of its own.

    The usual form, with which costs are compared, is one operator of LCE if there is one.

    Attributes:
        layer: Name of its value in the artifact.
        form: The operators in the file.
        reason: Why this form is needed.
        extra_bytes: Size of constants that the usual form does not need.
        extra_operators: Operators that the usual form does not need.
        extra_activation_bytes: Additional size of the operators' outputs for one image.
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
        name: Name of the input, float32 (N, H, W, C).
        layer: Number of the noisy sign (docs/artifact.md, Sampling).
        shape: Shape of the signs in the artifact, without the batch.
        map: (C, H, W).
    """

    name: str
    layer: int
    shape: tuple[int, ...]
    map: tuple[int, int, int]


@dataclass(frozen=True)
class TfliteReport:
    """The content of a file; `dataclasses.asdict` converts it for JSON.

    Attributes:
        variant: Which operators the file may have.
        batch: Number of images in a run, which is fixed.
        input_shape: NHWC, with the batch.
        operators: Number of operators by name.
        choices: In the order of the graph.
        uniform_inputs: Inputs of the file after the image, in their order.
        file_bytes: Size of the file.
        artifact_bytes: Size of the artifact that it was made from, for comparison.
    """

    variant: Variant
    batch: int
    input_shape: tuple[int, ...]
    operators: dict[str, int]
    choices: tuple[Choice, ...]
    uniform_inputs: tuple[UniformInput, ...]
    file_bytes: int
    artifact_bytes: int
