"""A TFLite network as plain data: what the reader gives and the writer takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError
from bnnkit.tflite.fields import Options
from bnnkit.tflite.schema import DTYPES, Builtin, TensorType

ABSENT = -1
"""Stands for an input that is left out."""

Kind = TypeVar("Kind", bound=Options)


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """What the integers q of a tensor stand for: scale * (q - zero_point).

    Attributes:
        scale: float32 numbers, one for the whole tensor or one for each channel.
        zero_point: One for the whole tensor or one for each channel.
        axis: The axis of the channels; 0 if there is one scale.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...] = (0,)
    axis: int = 0


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A value or a constant.

    Attributes:
        name: For messages and tools.
        type: Type of the elements.
        shape: With the batch.
        data: Elements of a constant, little-endian; empty for a value.
        quantization: What integers stand for; None if they stand for themselves.
    """

    name: str
    type: TensorType
    shape: tuple[int, ...]
    data: bytes = b""
    quantization: Quantization | None = None

    def array(self) -> NDArray[Any]:
        """The elements of a constant.

        Raises:
            ArtifactError: Their number is not what the shape says, or the tensor is a value.
        """
        if not self.data:
            raise ArtifactError(f"the tensor {self.name!r} is computed, it must be constant")
        dtype = np.dtype(DTYPES[self.type])
        count = 1
        for size in self.shape:
            count *= size
        if len(self.data) != count * dtype.itemsize:
            raise ArtifactError(
                f"the constant {self.name!r} of shape {self.shape} is damaged: expected"
                f" {count * dtype.itemsize} bytes, got {len(self.data)}"
            )
        array = np.frombuffer(self.data, dtype).astype(dtype.newbyteorder("="))
        if array.dtype.kind == "f":
            array[np.isnan(array)] = np.nan  # other NaNs raise warnings when they are converted
        return array.reshape(self.shape)


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One step.

    Attributes:
        code: A builtin operator, or the name of a custom one.
        inputs: Indices of tensors; `ABSENT` for one that is left out.
        outputs: Indices of tensors.
        options: Of the kind that operators.py gives for the code; None if it gives none.
        custom_options: Options of a custom operator that operators.py does not describe.
    """

    code: Builtin | str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options | None = None
    custom_options: bytes = b""

    @property
    def name(self) -> str:
        """The code as tools print it."""
        return self.code if isinstance(self.code, str) else self.code.name

    @property
    def builtin(self) -> Builtin:
        """The code of an operator that is known to be a builtin one."""
        assert isinstance(self.code, Builtin)
        return self.code

    @property
    def output(self) -> int:
        """The first output."""
        return self.outputs[0]

    def options_as(self, kind: type[Kind]) -> Kind:
        """The options, which are known to be of a kind."""
        assert isinstance(self.options, kind)
        return self.options


@dataclass(frozen=True, kw_only=True)
class Network:
    """A model with one subgraph.

    Attributes:
        tensors: All tensors.
        operators: In the order of execution.
        inputs: Indices of tensors.
        outputs: Indices of tensors.
        description: Who wrote the file.
        metadata: Entries by name, which interpreters do not look at (metadata.py).
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    description: str = ""
    metadata: Mapping[str, bytes] = field(default_factory=dict)
