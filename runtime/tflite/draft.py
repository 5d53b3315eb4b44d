"""An artifact that is made of a TFLite network."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bnnkit.artifact_format import DOMAIN
from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.tflite.network import ABSENT, Network, Operator, Tensor
from bnnkit.runtime.tflite.values import NCHW_TO_NHWC, NHWC_TO_NCHW, Value, n_words
from bnnkit.tflite_schema import TensorType

Array = NDArray[Any]

_GROWTH = 16
"""How many bytes of constants one byte of the file may become."""
_GRACE = 1 << 24


class Draft:
    """Nodes and constants so far, and the values of the file's tensors.

    Args:
        network: What is translated.
        file_bytes: The size of its file, to which the size of the artifact is held.

    Attributes:
        network: As above.
        batch: Of the file.
        nodes: In an order in which they can be executed.
        initializers: Constants.
        value_infos: Types and shapes by the name of the value.
    """

    def __init__(self, network: Network, file_bytes: int) -> None:
        self.network = network
        self.batch = network.tensors[network.inputs[0]].shape[0]
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.value_infos: dict[str, onnx.ValueInfoProto] = {}
        self._values: dict[int, Value] = {}
        self._constants: dict[int, Array] = {}
        self._names: set[str] = set()
        self._named: set[str] = set()
        self._prefix = ""
        self._emitted = 0
        self._left = _GROWTH * file_bytes + _GRACE

    def begin(self, operator: Operator) -> None:
        """What comes now belongs to this operator."""
        self._prefix, self._emitted = f"{operator.index}.{operator.name}", 0

    def tensor(self, index: int) -> Tensor:
        """A tensor of the file."""
        return self.network.tensors[index]

    def value(self, operator: Operator, index: int = 0) -> Value:
        """An input of an operator that is computed.

        Raises:
            UnsupportedError: It is constant, or left out.
            ArtifactError: Nothing has computed it yet.
        """
        place = self._input(operator, index)
        if self.is_constant(place):
            raise UnsupportedError(f"input {index} is constant, expected a computed one")
        if place not in self._values:
            raise ArtifactError(f"input {index} is not computed before it is read")
        return self._values[place]

    def constant_of(self, operator: Operator, index: int) -> Array:
        """An input of an operator that is constant, as the file has it.

        Raises:
            UnsupportedError: It is computed, or left out.
        """
        place = self._input(operator, index)
        if not self.is_constant(place):
            raise UnsupportedError(f"input {index} is computed, expected a constant")
        return self.array(place)

    def array(self, place: int) -> Array:
        """A constant tensor, as the file has it."""
        if place not in self._constants:
            tensor = self.tensor(place)
            array = np.zeros(tensor.shape) if 0 in tensor.shape else tensor.array()
            self._spend(array.nbytes)
            self._constants[place] = array
        return self._constants[place]

    def fold(self, place: int, array: Array) -> None:
        """A tensor turns out to be constant."""
        self._spend(array.nbytes)
        self._constants[place] = array

    def is_constant(self, place: int) -> bool:
        """Whether a tensor is known before the image is."""
        if place in self._constants:
            return True
        tensor = self.tensor(place)
        return place not in self._values and (tensor.data is not None or 0 in tensor.shape)

    def is_given(self, operator: Operator, index: int) -> bool:
        """Whether an operator has an input."""
        return index < len(operator.inputs) and operator.inputs[index] != ABSENT

    def emit(
        self, kind: str, inputs: Sequence[str], *, domain: str = "", **attributes: Any
    ) -> str:
        """A new node; gives the name of its output."""
        suffix = f"/{self._emitted}" if self._emitted else ""
        self._emitted += 1
        output = self._unique(f"{self._prefix}/{kind}{suffix}")
        node = helper.make_node(
            kind,
            list(inputs),
            [output],
            name=f"{self._prefix}{suffix}",
            domain=domain,
            **attributes,
        )
        self.nodes.append(node)
        return output

    def emit_binary(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """A new node of the domain bnnkit."""
        return self.emit(kind, inputs, domain=DOMAIN, **attributes)

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        """A constant; gives its name."""
        array = np.array(array, dtype, order="C")
        self._spend(array.nbytes)
        name = self._unique(f"{self._prefix}/constant")
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def note_shape(self, name: str, shape: Sequence[int], dtype: Any) -> None:
        """What a value is, for reports: ONNX cannot infer it behind an operator of bnnkit.

        Args:
            name: Of the value.
            shape: As in TFLite.
            dtype: Of its elements.
        """
        order = NHWC_TO_NCHW if len(shape) == 4 else range(len(shape))
        sizes: list[str | int | None] = ["N", *[shape[axis] for axis in order][1:]]
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.value_infos[name] = helper.make_tensor_value_info(name, kind, sizes)

    def to_nchw(self, name: str, rank: int) -> str:
        """A value that lies as TFLite has it, as the artifact wants it."""
        return self.emit("Transpose", [name], perm=list(NHWC_TO_NCHW)) if rank == 4 else name

    def to_nhwc(self, name: str, rank: int) -> str:
        """The other way round."""
        return self.emit("Transpose", [name], perm=list(NCHW_TO_NHWC)) if rank == 4 else name

    def in_file_order(self, value: Value) -> str:
        """Numbers in the order that TFLite has them in, in whatever shape."""
        one_pixel = value.is_map and value.shape[1] == value.shape[2] == 1
        if not value.is_map or one_pixel or value.shape[3] == 1:
            return value.name
        return self.to_nhwc(value.name, 4)

    def give(self, place: int, value: Value) -> None:
        """A tensor is computed; the value gets its name.

        Raises:
            ArtifactError: It is there already, or the file says another shape or type.
            UnsupportedError: Its first axis is not the batch.
        """
        tensor = self.tensor(place)
        if place in self._values or tensor.data is not None:
            raise ArtifactError(f"the tensor {tensor.name!r} is computed twice")
        shape = _stored_shape(value, tensor.type)
        if shape != tensor.shape:
            raise ArtifactError(
                f"expected the tensor {tensor.name!r} of shape {shape}, the file says"
                f" {tensor.shape}"
            )
        if not shape or shape[0] != self.batch:
            raise UnsupportedError(
                f"the first axis of the tensor {tensor.name!r} of shape {shape} is not the batch"
            )
        is_converted = value.is_map or value.kind != "real"
        if self._emitted and not (is_converted and place in self.network.outputs):
            value = self._named_as(place, value)
        self._values[place] = value
        if value.kind != "plain":
            self.note_shape(
                value.name, value.shape, np.uint8 if value.kind == "signs" else np.float32
            )

    def _named_as(self, place: int, value: Value) -> Value:
        """The value, which the last node has made, under the name of its tensor."""
        last = self.nodes[-1]
        if last.output[0] != value.name:
            return value
        name = self.tensor(place).name or f"tensor{place}"
        last.output[0] = self._unique(name.replace("/", "."))
        if place in self.network.outputs:
            self._named.add(last.output[0])
        return replace(value, name=last.output[0])

    def given(self, place: int) -> Value:
        """The value of a tensor, for the outputs.

        Raises:
            ArtifactError: Nothing computes it.
        """
        if place not in self._values:
            raise ArtifactError(f"the output {self.tensor(place).name!r} is not computed")
        return self._values[place]

    def name_input(self, place: int) -> str:
        """A name for the input of the network."""
        return self._unique(self.tensor(place).name or "input")

    def give_input(self, place: int, value: Value) -> None:
        """The input of the network is a value."""
        self._values[place] = value

    def name_output(self, place: int, name: str) -> str:
        """A value that is an output of the network, under the tensor's name if it is free."""
        if name in self._named:
            self._named.remove(name)  # a value is an output once
            return name
        if not self.nodes or self.nodes[-1].output[0] != name or name in self._taken():
            name = self.emit("Identity", [name])
        output = self._unique(self.tensor(place).name or "output")
        self.nodes[-1].output[0] = output
        return output

    def _taken(self) -> set[str]:
        return {value.name for value in self._values.values()}

    def _input(self, operator: Operator, index: int) -> int:
        if not self.is_given(operator, index):
            raise UnsupportedError(f"input {index} is left out")
        return operator.inputs[index]

    def _unique(self, name: str) -> str:
        found, count = name, 1
        while found in self._names:
            count += 1
            found = f"{name}#{count}" if count < 100 else f"{name}#{len(self._names)}"
        self._names.add(found)
        return found

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ArtifactError("the constants are read too often for a file of its size")


def _stored_shape(value: Value, kind: TensorType) -> tuple[int, ...]:
    """The shape that a value has in the file: signs in words, but where they are bools."""
    if value.kind != "signs" or kind == TensorType.BOOL:
        return value.shape
    return (*value.shape[:-1], n_words(value.shape[-1]))
