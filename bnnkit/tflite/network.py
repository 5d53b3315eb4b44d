"""A TFLite network as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError
from bnnkit.tflite.flatbuffer import Table
from bnnkit.tflite.schema import Builtin, TensorType

ABSENT = -1
"""In the place of an input that is left out."""

DTYPES: dict[TensorType, str] = {
    TensorType.FLOAT32: "<f4",
    TensorType.FLOAT16: "<f2",
    TensorType.INT32: "<i4",
    TensorType.UINT8: "u1",
    TensorType.INT64: "<i8",
    TensorType.BOOL: "?",
    TensorType.INT16: "<i2",
    TensorType.INT8: "i1",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantization:
    """What whole numbers stand for: scale * (q - zero_point).

    Attributes:
        scale: float32, one number or one for each channel.
        zero_point: int64, as many.
        axis: Of the channels.
    """

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int

    def equals(self, other: "Quantization") -> bool:
        """Whether whole numbers stand for the same."""
        return np.array_equal(self.scale, other.scale) and np.array_equal(
            self.zero_point, other.zero_point
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Tensor:
    """A value or a constant.

    Attributes:
        name: As the file has it.
        type: Of its elements.
        shape: With the batch.
        data: The bytes of a constant; None for a value.
        quantization: Of whole numbers that stand for others.
    """

    name: str
    type: TensorType
    shape: tuple[int, ...]
    data: NDArray[np.uint8] | None
    quantization: Quantization | None

    def array(self) -> NDArray[Any]:
        """The elements of a constant.

        Raises:
            ArtifactError: There are not as many as the shape says.
        """
        if self.data is None:
            raise ArtifactError(f"the tensor {self.name!r} is computed, it must be constant")
        dtype = np.dtype(DTYPES[self.type])
        count = 1
        for size in self.shape:
            count *= size
        if self.data.nbytes != count * dtype.itemsize:
            raise ArtifactError(
                f"the constant {self.name!r} of shape {self.shape} is damaged: expected"
                f" {count * dtype.itemsize} bytes, got {self.data.nbytes}"
            )
        array = np.frombuffer(self.data.tobytes(), dtype).astype(dtype.newbyteorder("="))
        if array.dtype.kind == "f":
            array[np.isnan(array)] = np.nan  # others raise warnings wherever they are converted
        return array.reshape(self.shape)


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One step.

    Attributes:
        index: In the file.
        code: A builtin operator, or the name of another.
        inputs: Indices of tensors; `ABSENT` for one that is left out.
        outputs: Indices of tensors.
        options_type: Which table the options are; 0 where there are none.
        options: Of a builtin operator.
        custom_options: Of a custom operator.
    """

    index: int
    code: Builtin | str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options_type: int
    options: Table | None
    custom_options: bytes

    @property
    def name(self) -> str:
        """As tools print it."""
        return self.code if isinstance(self.code, str) else self.code.name

    @property
    def builtin(self) -> Builtin:
        """The code, which is known to be that of a builtin operator."""
        assert isinstance(self.code, Builtin)
        return self.code

    @property
    def output(self) -> int:
        """The first of its outputs."""
        return self.outputs[0]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A model with one subgraph.

    Attributes:
        tensors: All of them.
        operators: In the order of execution.
        inputs: Indices of tensors.
        outputs: Indices of tensors.
        description: Who wrote the file.
        metadata: Of the artifact that the file was made of, where bnnkit wrote it.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    description: str
    metadata: Mapping[str, str] = field(default_factory=dict)
