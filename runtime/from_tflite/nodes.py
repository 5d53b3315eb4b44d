"""Nodes and constants of an artifact under construction."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bnnkit.artifact.format import DOMAIN
from bnnkit.runtime.from_tflite.budget import Budget
from bnnkit.runtime.from_tflite.values import NCHW_TO_NHWC, NHWC_TO_NCHW


class Nodes:
    """What has been emitted so far.

    Args:
        budget: Pays for the constants.

    Attributes:
        budget: As above.
        nodes: In an order in which they can be executed.
        initializers: Constants.
        value_infos: Types and shapes by the name of the value.
        emitted: How many nodes the present operator has.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.value_infos: dict[str, onnx.ValueInfoProto] = {}
        self.emitted = 0
        self._names: set[str] = set()
        self._prefix = ""

    def begin(self, prefix: str) -> None:
        """What comes now belongs to another operator, whose nodes have a prefix."""
        self._prefix, self.emitted = prefix, 0

    def emit(
        self, kind: str, inputs: Sequence[str], *, domain: str = "", **attributes: Any
    ) -> str:
        """A new node; gives the name of its output."""
        suffix = f"/{self.emitted}" if self.emitted else ""
        self.emitted += 1
        output = self.unique(f"{self._prefix}/{kind}{suffix}")
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
        self.budget.spend_constants(array.nbytes)
        name = self.unique(f"{self._prefix}/constant")
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def rename_last(self, name: str) -> str:
        """The result of the last node gets another name; gives it as it is then."""
        found = self.unique(name)
        self.nodes[-1].output[0] = found
        return found

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

    def unique(self, name: str) -> str:
        """A name that no other value has."""
        found, count = name, 1
        while found in self._names:
            count += 1
            found = f"{name}#{count}" if count < 100 else f"{name}#{len(self._names)}"
        self._names.add(found)
        return found
