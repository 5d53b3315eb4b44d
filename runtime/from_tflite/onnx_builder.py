"""An artifact under construction from a TFLite network, and what the tensors are in it."""

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.budget import tflite_budget
from bnnkit.runtime.from_tflite.nodes import Nodes
from bnnkit.runtime.from_tflite.values import OnnxValue, n_words
from bnnkit.tflite.network import ABSENT, Network, Operator, Tensor
from bnnkit.tflite.schema import TensorType

Array = NDArray[Any]


class OnnxBuilder(Nodes):
    """The nodes so far, and the values and constants that the tensors of the file have become.

    Args:
        network: The network that is translated.
        file_bytes: The size of its file, which limits the size of the artifact.

    Attributes:
        network: The network that is translated.
        batch: The batch size of the file.
        named_outputs: Values that already have the name of the file's output that they are.
    """

    def __init__(self, network: Network, file_bytes: int) -> None:
        super().__init__(tflite_budget(network, file_bytes))
        self.network = network
        self.batch = network.tensors[network.inputs[0]].shape[0]
        self.named_outputs: set[str] = set()
        self._values: dict[int, OnnxValue] = {}
        self._constants: dict[int, Array] = {}

    def tensor(self, index: int) -> Tensor:
        """A tensor of the file."""
        return self.network.tensors[index]

    def value(self, operator: Operator, index: int = 0) -> OnnxValue:
        """The value of an operator's input.

        Raises:
            UnsupportedError: The input is constant, or left out.
            ArtifactError: No operator has computed it yet.
        """
        place = self._input(operator, index)
        if self.is_constant(place):
            raise UnsupportedError(f"input {index} is constant, expected a computed one")
        return self.value_of(place)

    def value_of(self, place: int) -> OnnxValue:
        """The value of a tensor.

        Raises:
            ArtifactError: No operator has computed it yet.
        """
        if place not in self._values:
            name = self.tensor(place).name
            raise ArtifactError(f"the tensor {name!r} is not computed before it is read")
        return self._values[place]

    def constant_of(self, operator: Operator, index: int) -> Array:
        """The constant that is an operator's input, as stored in the file.

        Raises:
            UnsupportedError: The input is computed, or left out.
        """
        place = self._input(operator, index)
        if not self.is_constant(place):
            raise UnsupportedError(f"input {index} is computed, expected a constant")
        return self.array(place)

    def whole_numbers(self, operator: Operator, index: int) -> NDArray[np.int64]:
        """A constant input of axes, sizes or indices, as int64.

        Raises:
            ArtifactError: It does not consist of integers.
            UnsupportedError: The input is computed, or left out.
        """
        found = self.constant_of(operator, index)
        if found.dtype.kind not in "iu" and found.size:
            raise ArtifactError(f"expected input {index} of integers, got {found.dtype}")
        return found.astype(np.int64)

    def array(self, place: int) -> Array:
        """A constant tensor, as stored in the file."""
        if place not in self._constants:
            tensor = self.tensor(place)
            array = np.zeros(tensor.shape) if 0 in tensor.shape else tensor.array()
            self.fold(place, array)
        return self._constants[place]

    def fold(self, place: int, array: Array) -> None:
        """Note that a tensor is a constant."""
        self.budget.spend_constants(array.nbytes)
        self._constants[place] = array

    def is_constant(self, place: int) -> bool:
        """Whether a tensor does not depend on the input."""
        if place in self._constants:
            return True
        tensor = self.tensor(place)
        return place not in self._values and (bool(tensor.data) or 0 in tensor.shape)

    def is_given(self, operator: Operator, index: int) -> bool:
        """Whether an operator has this input, and it is not left out."""
        return index < len(operator.inputs) and operator.inputs[index] != ABSENT

    def is_packed(self, place: int) -> bool:
        """Whether a value's tensor holds packed signs: its last axis counts words."""
        return self.value_of(place).kind == "signs" and self.tensor(place).type != TensorType.BOOL

    def refuse_packed(self, place: int) -> None:
        """Raise an UnsupportedError if a tensor holds packed signs."""
        if self.is_packed(place):
            raise UnsupportedError("expected numbers or bools, got packed signs")

    def in_file_order(self, value: OnnxValue) -> str:
        """Name of the value with its numbers in TFLite's order; the shape may differ."""
        one_pixel = value.is_map and value.shape[1] == value.shape[2] == 1
        if not value.is_map or one_pixel or value.shape[3] == 1:
            return value.name
        return self.to_nhwc(value.name, 4)

    def give(self, place: int, value: OnnxValue) -> None:
        """Make a value the content of a tensor, and give it the tensor's name.

        Raises:
            ArtifactError: The tensor is already computed, or has another shape in the file.
            UnsupportedError: Its first axis is not the batch, or it is too large.
        """
        tensor = self.tensor(place)
        if place in self._values or place in self._constants or tensor.data:
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
        self.budget.spend_values(prod(value.shape[1:]), max(self.emitted, 1))
        is_converted = value.is_map or value.kind != "real"
        if self.emitted and not (is_converted and place in self.network.outputs):
            value = self._named_as(place, value)
        self._values[place] = value
        if value.kind != "plain":
            self.note_shape(
                value.name, value.shape, np.uint8 if value.kind == "signs" else np.float32
            )

    def _named_as(self, place: int, value: OnnxValue) -> OnnxValue:
        """Rename the value to its tensor if the last node computes it."""
        if self.nodes[-1].output[0] != value.name:
            return value
        name = self.rename_last((self.tensor(place).name or f"tensor{place}").replace("/", "."))
        if place in self.network.outputs:
            self.named_outputs.add(name)
        return replace(value, name=name)

    def given(self, place: int) -> OnnxValue:
        """The value of an output of the network.

        Raises:
            ArtifactError: No operator computes it.
        """
        if place not in self._values:
            raise ArtifactError(f"the output {self.tensor(place).name!r} is not computed")
        return self._values[place]

    def give_input(self, place: int, value: OnnxValue) -> None:
        """Make a value the input of the network."""
        self.budget.spend_values(prod(value.shape[1:]))
        self._values[place] = value

    def is_read(self, name: str) -> bool:
        """Whether the value of that name is a tensor of the file."""
        return any(value.name == name for value in self._values.values())

    def _input(self, operator: Operator, index: int) -> int:
        if not self.is_given(operator, index):
            raise UnsupportedError(f"input {index} is left out")
        return operator.inputs[index]


def _stored_shape(value: OnnxValue, kind: TensorType) -> tuple[int, ...]:
    """The shape of a value in the file, where signs are words unless they are bools."""
    if value.kind != "signs" or kind == TensorType.BOOL:
        return value.shape
    return (*value.shape[:-1], n_words(value.shape[-1]))
