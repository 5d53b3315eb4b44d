"""A TFLite model as plain data."""

from dataclasses import dataclass

from bnnkit.tflite.options import Options
from bnnkit.tflite.schema import Builtin, TensorType

ABSENT = -1
"""In the place of an input that is left out."""


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A value or a constant.

    Attributes:
        name: For messages and tools.
        type: Of its elements.
        shape: With the batch.
        data: The elements of a constant, little-endian; empty for a value.
        scale: What 1 counts, of int8 and of the biases beside it, whose zero point is 0.
    """

    name: str
    type: TensorType
    shape: tuple[int, ...]
    data: bytes = b""
    scale: float | None = None


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One step.

    Attributes:
        code: A builtin operator, or the name of a custom one.
        inputs: Indices of tensors; `ABSENT` for one that is left out.
        outputs: Indices of tensors.
        options: Of a builtin operator.
        custom_options: Of a custom operator.
    """

    code: Builtin | str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options | None = None
    custom_options: bytes = b""

    @property
    def name(self) -> str:
        """As tools print it."""
        return self.code if isinstance(self.code, str) else self.code.name


@dataclass(frozen=True, kw_only=True)
class Network:
    """A model with one subgraph.

    Attributes:
        tensors: All of them.
        operators: In the order of execution.
        inputs: Indices of tensors.
        outputs: Indices of tensors.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
