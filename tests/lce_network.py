"""TFLite networks made by hand, and what LCE's interpreter gives for them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.check import check
from bnnkit.artifact.reference import Reference
from bnnkit.runtime import Model
from bnnkit.runtime.from_tflite import from_tflite
from bnnkit.tflite.fields import Options
from bnnkit.tflite.network import Network, Operator, Quantization, Tensor
from bnnkit.tflite.operators import default_options
from bnnkit.tflite.schema import Builtin, TensorType
from bnnkit.tflite.write import write

Array = NDArray[Any]

TYPES = {
    np.dtype(np.float32): TensorType.FLOAT32,
    np.dtype(np.int32): TensorType.INT32,
    np.dtype(np.int64): TensorType.INT64,
    np.dtype(np.int8): TensorType.INT8,
    np.dtype(np.uint8): TensorType.UINT8,
    np.dtype(np.bool_): TensorType.BOOL,
}


class Net:
    """A network under construction; its first tensor is its input."""

    def __init__(self, shape: Sequence[int], dtype: Any = np.float32) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.input = self.value(shape, dtype)

    def value(self, shape: Sequence[int], dtype: Any = np.float32, scale: Any = None) -> int:
        """A tensor that is computed; gives its index."""
        kind, name = TYPES[np.dtype(dtype)], f"t{len(self.tensors)}"
        tensor = Tensor(name=name, type=kind, shape=tuple(shape), quantization=_quantized(scale))
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, array: Any, dtype: Any = np.int32, scale: Any = None) -> int:
        """A constant tensor; gives its index."""
        array = np.asarray(array, dtype)
        tensor = Tensor(
            name=f"t{len(self.tensors)}",
            type=TYPES[array.dtype],
            shape=array.shape,
            data=array.tobytes(),
            quantization=_quantized(scale),
        )
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def add(
        self,
        code: Builtin | str,
        inputs: Sequence[int],
        *outputs: int,
        options: Options | None = None,
    ) -> int:
        """An operator; gives the index of its first output."""
        operator = Operator(
            code=code,
            inputs=tuple(inputs),
            outputs=outputs,
            options=options or default_options(code),
        )
        self.operators.append(operator)
        return outputs[0]

    def signs(self, place: int) -> int:
        """The signs of a tensor, packed."""
        *outer, channels = self.tensors[place].shape
        words = self.value((*outer, -(-channels // 32)), np.int32)
        return self.add("LceQuantize", [place], words)

    def content(self, *outputs: int, inputs: Sequence[int] | None = None) -> bytes:
        """The file."""
        return write(
            Network(
                tensors=tuple(self.tensors),
                operators=tuple(self.operators),
                inputs=(self.input,) if inputs is None else tuple(inputs),
                outputs=outputs,
            )
        )


def _quantized(scale: float | None) -> Quantization | None:
    return None if scale is None else Quantization(scale=(scale,))


def outputs_of(content: bytes, images: Array) -> list[tuple[Array, ...]]:
    """What the reference and the runtime give for a file."""
    artifact = from_tflite(content)
    check(artifact.model, "made by hand")
    result = Model(artifact).run(images)
    return [
        tuple(Reference(artifact).run(images)),
        result if isinstance(result, tuple) else (result,),
    ]
