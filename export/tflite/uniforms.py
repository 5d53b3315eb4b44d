"""Sources of the uniform random numbers of noisy signs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

import numpy as np

from bnnkit.errors import UsageError
from bnnkit.export.tflite.report import UniformInput
from bnnkit.tflite.options import RandomOptions
from bnnkit.tflite.schema import Builtin, TensorType

if TYPE_CHECKING:
    from bnnkit.export.tflite.tflite_builder import TfliteBuilder


class Uniforms(Protocol):
    """A source of numbers in [0, 1)."""

    @property
    def name(self) -> str:
        """Name for the report."""

    def draw(self, builder: "TfliteBuilder", sign: UniformInput) -> int:
        """Emit a float32 tensor (N, H, W, C) with a number for each noisy sign of a layer."""


@dataclass(frozen=True)
class RandomUniforms:
    """RANDOM_UNIFORM: numbers that the interpreter draws, different in each run.

    Attributes:
        seed: From 0 to 2^64 - 1. With the same seed, every interpreter draws the same sequence of
            numbers from its first run on; with 0 it chooses a seed.

    Raises:
        UsageError: The seed is out of range.
    """

    seed: int = 0
    name: ClassVar[str] = "RANDOM_UNIFORM"

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**64:
            raise UsageError(f"expected a seed from 0 to 2^64 - 1, got {self.seed}")

    def draw(self, builder: "TfliteBuilder", sign: UniformInput) -> int:
        """Emit the operator; layers have different numbers."""
        channels, height, width = sign.map
        shape = (builder.batch, height, width, channels)
        options = _options(self.seed, sign.layer + 1 if self.seed else 0)
        return builder.emit(
            Builtin.RANDOM_UNIFORM, [builder.integers(*shape)], shape, options=options
        )


def _options(seed: int, second_seed: int) -> RandomOptions:
    """Options with these seeds; interpreters take the signed integers of the file for unsigned."""
    signed = np.array([seed, second_seed], np.uint64).view(np.int64).tolist()
    return RandomOptions(seed=signed[0], seed2=signed[1])


@dataclass(frozen=True)
class GivenUniforms:
    """Additional inputs of the file, so that its user supplies the numbers."""

    name: ClassVar[str] = "input of random numbers"

    def draw(self, builder: "TfliteBuilder", sign: UniformInput) -> int:
        """Add an input to the network."""
        channels, height, width = sign.map
        builder.uniform_inputs.append(sign)
        shape = (builder.batch, height, width, channels)
        return builder.add_input(sign.name, TensorType.FLOAT32, shape)


RANDOM: Final = RandomUniforms()
"""RANDOM_UNIFORM without a seed."""
