"""A TFLite network under construction."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import bnnkit
from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite.report import Choice, Cost, UniformInput
from bnnkit.export.tflite.sign_form import SignForm
from bnnkit.export.tflite.source import Node, Source
from bnnkit.export.tflite.uniforms import Uniforms
from bnnkit.export.tflite.values import Value
from bnnkit.tflite.fields import Options
from bnnkit.tflite.metadata import to_entries
from bnnkit.tflite.network import Network, Operator, Quantization, Tensor
from bnnkit.tflite.operators import default_options
from bnnkit.tflite.schema import Builtin, TensorType
from bnnkit.tflite.window import Pads

Array = NDArray[Any]

DTYPES: Final[dict[TensorType, np.dtype[Any]]] = {
    TensorType.FLOAT32: np.dtype(np.float32),
    TensorType.INT32: np.dtype(np.int32),
    TensorType.UINT8: np.dtype(np.uint8),
    TensorType.INT8: np.dtype(np.int8),
    TensorType.BOOL: np.dtype(np.bool_),
}
NOTHING: Final = Cost()
_UNIT_SCALE: Final = Quantization(scale=(1.0,))
_TYPES: Final = {dtype: kind for kind, dtype in DTYPES.items()}


class TfliteBuilder:
    """Tensors and operators so far, and which values of the artifact they hold.

    Attributes:
        source: The artifact.
        batch: Images in a run.
        signs: How signs lie in tensors.
        uniforms: Where random numbers come from.
        inputs: Tensors that are given: the image, then random numbers.
        uniform_inputs: What is known of the latter.
        values: By name.
        choices: For the report.
        absorbed: Outputs of nodes that an earlier one has taken along.
        padded: Maps of signs with a margin of +1, by the tensor without it and the margin.
    """

    def __init__(self, source: Source, batch: int, signs: SignForm, uniforms: Uniforms) -> None:
        self.source, self.batch, self.signs, self.uniforms = source, batch, signs, uniforms
        self.inputs: list[int] = []
        self.uniform_inputs: list[UniformInput] = []
        self.values: dict[str, Value] = {}
        self.choices: list[Choice] = []
        self.absorbed: set[str] = set()
        self.padded: dict[tuple[int, Pads], int] = {}
        self._tensors: list[Tensor] = []
        self._operators: list[Operator] = []
        self._constants: dict[tuple[Any, ...], int] = {}
        self._layer = ""
        self._cost = self._noted = NOTHING

    def begin(self, layer: str) -> None:
        """What comes now belongs to this value of the artifact."""
        self._layer = layer

    def value(self, node: Node, index: int = 0) -> Value:
        """An input of a node that is computed.

        Raises:
            UnsupportedError: It is constant.
        """
        name = node.inputs[index]
        if name not in self.values:
            raise UnsupportedError(f"input {index} must not be constant")
        return self.values[name]

    def constant_of(self, node: Node, index: int) -> Array:
        """An input of a node that is constant.

        Raises:
            UnsupportedError: It is computed.
        """
        name = node.inputs[index]
        if name not in self.source.constants:
            raise UnsupportedError(f"input {index} must be constant")
        return self.source.constants[name]

    def give(self, name: str, value: Value) -> None:
        """A value of the artifact is ready."""
        self.values[name] = value
        tensor = self._tensors[value.tensor]
        if tensor.name.startswith(f"{self._layer}/"):
            self._tensors[value.tensor] = replace(tensor, name=name)

    @contextmanager
    def choosing(
        self, form: str, reason: str, *, plain: Cost = NOTHING, extra_bytes: int = 0
    ) -> Iterator[None]:
        """Note for the report how the current layer is written, by the operators made inside.

        What they cost more than the usual form goes into the report, without the parts of it that
        choices inside of this one note themselves.

        Args:
            form: What stands in the file.
            reason: Why.
            plain: What the usual form costs.
            extra_bytes: Of constants that it would not need.
        """
        place, before = len(self.choices), self._cost - self._noted
        yield
        more = self._cost - self._noted - before - plain
        self._noted += more
        costs = extra_bytes, more.operators, more.activation_bytes
        self.choices.insert(place, Choice(self._layer, form, reason, *costs))

    def bytes_of(self, shape: Sequence[int], kind: TensorType) -> int:
        """For one image, of a tensor (N, ...)."""
        return math.prod(shape[1:]) * DTYPES[kind].itemsize

    def tensor(self, name: str, kind: TensorType, shape: Sequence[int]) -> int:
        """A new tensor."""
        quantization = _UNIT_SCALE if kind is TensorType.INT8 else None
        tensor = Tensor(name=name, type=kind, shape=tuple(shape), quantization=quantization)
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def add_input(self, name: str, kind: TensorType, shape: Sequence[int]) -> int:
        """A new tensor that is given to the network."""
        self.inputs.append(self.tensor(name, kind, shape))
        return self.inputs[-1]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Of a tensor, with the batch."""
        return self._tensors[tensor].shape

    def type(self, tensor: int) -> TensorType:
        """Of a tensor's elements."""
        return self._tensors[tensor].type

    def constant(self, array: Array, *, has_scale: bool = False) -> int:
        """A tensor with this content, of a type in `DTYPES`; equal ones are stored once.

        Args:
            array: The content.
            has_scale: Whether it has the scale 1, as the bias of a layer of int8; int8 always has.
        """
        quantization = _UNIT_SCALE if has_scale or array.dtype == np.int8 else None
        array = np.ascontiguousarray(array)
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        key = (array.dtype, array.shape, data, quantization)
        if key not in self._constants:
            self._tensors.append(
                Tensor(
                    name=f"constant{len(self._constants)}",
                    type=_TYPES[array.dtype],
                    shape=array.shape,
                    data=data,
                    quantization=quantization,
                )
            )
            self._constants[key] = len(self._tensors) - 1
        return self._constants[key]

    def integers(self, *numbers: int) -> int:
        """A constant vector of int32: axes, shapes."""
        return self.constant(np.array(numbers, np.int32))

    def emit(
        self,
        code: Builtin | str,
        inputs: Sequence[int],
        shape: Sequence[int],
        *,
        kind: TensorType = TensorType.FLOAT32,
        options: Options | None = None,
    ) -> int:
        """A new operator; gives its output, a tensor of that type and shape."""
        operator_name = code if isinstance(code, str) else code.name
        output = self.tensor(f"{self._layer}/{operator_name}", kind, shape)
        # What a constant becomes is as large for any batch.
        is_fixed = code is Builtin.DEQUANTIZE and self._tensors[inputs[0]].data
        size = self.bytes_of((1, *shape) if is_fixed else shape, kind)
        self._cost += Cost(1, size)
        self._operators.append(
            Operator(
                code=code,
                inputs=tuple(inputs),
                outputs=(output,),
                options=options or default_options(code),
            )
        )
        return output

    def network(self, outputs: Sequence[int], metadata: Mapping[str, str]) -> Network:
        """The network that was built.

        Args:
            outputs: Its outputs.
            metadata: Properties of the artifact.
        """
        return Network(
            tensors=tuple(self._tensors),
            operators=tuple(self._operators),
            inputs=tuple(self.inputs),
            outputs=tuple(outputs),
            description=f"bnnkit {bnnkit.__version__}",
            metadata=to_entries(metadata),
        )
