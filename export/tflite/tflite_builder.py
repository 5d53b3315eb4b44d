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
from bnnkit.export.tflite.values import TfliteValue
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
    TensorType.INT64: np.dtype(np.int64),
    TensorType.UINT8: np.dtype(np.uint8),
    TensorType.INT8: np.dtype(np.int8),
    TensorType.BOOL: np.dtype(np.bool_),
}
NOTHING: Final = Cost()
_UNIT_SCALE: Final = Quantization(scale=(1.0,))
_TYPES: Final = {dtype: kind for kind, dtype in DTYPES.items()}


class TfliteBuilder:
    """The tensors and operators so far, and the values of the artifact that they hold.

    Attributes:
        source: The artifact.
        batch: Number of images in a run.
        signs: How tensors store signs.
        uniforms: Source of random numbers.
        inputs: Inputs of the network: the image, then random numbers.
        uniform_inputs: Descriptions of the inputs of random numbers.
        values: Values of the artifact by name.
        choices: For the report.
        absorbed: Outputs of nodes that were fused into an earlier one.
        padded: Maps of signs with a margin of +1 in memory, by the tensor without the margin and
            the margin.
    """

    def __init__(self, source: Source, batch: int, signs: SignForm, uniforms: Uniforms) -> None:
        self.source, self.batch, self.signs, self.uniforms = source, batch, signs, uniforms
        self.inputs: list[int] = []
        self.uniform_inputs: list[UniformInput] = []
        self.values: dict[str, TfliteValue] = {}
        self.choices: list[Choice] = []
        self.absorbed: set[str] = set()
        self.padded: dict[tuple[int, Pads], int] = {}
        self._tensors: list[Tensor] = []
        self._operators: list[Operator] = []
        self._constants: dict[tuple[Any, ...], int] = {}
        self._layer = ""
        self._cost = self._noted = NOTHING

    def begin(self, layer: str) -> None:
        """Begin the operators of another value of the artifact."""
        self._layer = layer

    def value(self, node: Node, index: int = 0) -> TfliteValue:
        """The value of a node's input.

        Raises:
            UnsupportedError: The input is constant.
        """
        name = node.inputs[index]
        if name not in self.values:
            raise UnsupportedError(f"expected input {index} to be computed, got a constant")
        return self.values[name]

    def constant_of(self, node: Node, index: int) -> Array:
        """The constant that is a node's input.

        Raises:
            UnsupportedError: The input is computed.
        """
        name = node.inputs[index]
        if name not in self.source.constants:
            raise UnsupportedError(
                f"expected input {index} to be constant, got {name!r}, which is computed"
            )
        return self.source.constants[name]

    def give(self, name: str, value: TfliteValue) -> None:
        """Note a value of the artifact, and give its name to its tensor."""
        self.values[name] = value
        tensor = self._tensors[value.tensor]
        if tensor.name.startswith(f"{self._layer}/"):
            self._tensors[value.tensor] = replace(tensor, name=name)

    @contextmanager
    def choosing(
        self, form: str, reason: str, *, plain: Cost = NOTHING, extra_bytes: int = 0
    ) -> Iterator[None]:
        """Report the operators emitted inside as the form of the current layer.

        The report states their additional cost compared with the usual form, without the cost of
        choices that are nested in this one.

        Args:
            form: The operators.
            reason: Why this form is needed.
            plain: Cost of the usual form.
            extra_bytes: Size of constants that the usual form does not need.
        """
        place, before = len(self.choices), self._cost - self._noted
        yield
        more = self._cost - self._noted - before - plain
        self._noted += more
        costs = extra_bytes, more.operators, more.activation_bytes
        self.choices.insert(place, Choice(self._layer, form, reason, *costs))

    def bytes_of(self, shape: Sequence[int], kind: TensorType) -> int:
        """Size of a tensor (N, ...) for one image."""
        return math.prod(shape[1:]) * DTYPES[kind].itemsize

    def tensor(self, name: str, kind: TensorType, shape: Sequence[int]) -> int:
        """Add a tensor; returns its index."""
        quantization = _UNIT_SCALE if kind is TensorType.INT8 else None
        tensor = Tensor(name=name, type=kind, shape=tuple(shape), quantization=quantization)
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def add_input(self, name: str, kind: TensorType, shape: Sequence[int]) -> int:
        """Add an input of the network; returns its index."""
        self.inputs.append(self.tensor(name, kind, shape))
        return self.inputs[-1]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor, with the batch."""
        return self._tensors[tensor].shape

    def type(self, tensor: int) -> TensorType:
        """The type of a tensor's elements."""
        return self._tensors[tensor].type

    def constant(self, array: Array, *, has_scale: bool = False) -> int:
        """A constant tensor; equal constants are stored once.

        Args:
            array: The content, of a type in `DTYPES`.
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
        """A constant vector of int32, such as axes or a shape."""
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
        """Add an operator; returns its output, a tensor of that type and shape."""
        operator_name = code if isinstance(code, str) else code.name
        output = self.tensor(f"{self._layer}/{operator_name}", kind, shape)
        # What a constant becomes does not grow with the batch.
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
