"""Nodes and constants of an artifact under construction."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bnnkit.artifact.budget import Budget
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.runtime.from_tflite.values import NCHW_TO_NHWC, NHWC_TO_NCHW


class Nodes:
    """The nodes and constants so far.

    Args:
        budget: Is charged for constants.

    Attributes:
        budget: Limits what the file may take.
        nodes: In an order in which they can be executed.
        initializers: Constants.
        value_infos: Types and shapes by the name of the value.
        emitted: Number of nodes of the present operator.
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
        """Begin another operator; the names of its nodes begin with the prefix."""
        self._prefix, self.emitted = prefix, 0

    def emit(
        self, kind: str, inputs: Sequence[str], *, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node; returns the name of its output."""
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
        """Add a node of bnnkit's own domain; returns the name of its output."""
        return self.emit(kind, inputs, domain=DOMAIN, **attributes)

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        """Add a constant; returns its name."""
        array = np.array(array, dtype, order="C")
        self.budget.spend_constants(array.nbytes)
        name = self.unique(f"{self._prefix}/constant")
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def rename_last(self, name: str) -> str:
        """Rename the output of the last node; returns the new name, made unique."""
        found = self.unique(name)
        self.nodes[-1].output[0] = found
        return found

    def note_shape(self, name: str, shape: Sequence[int], dtype: Any) -> None:
        """Note the type and shape of a value, which ONNX cannot infer after operators of bnnkit.

        Args:
            name: Name of the value.
            shape: As in TFLite.
            dtype: Type of the elements.
        """
        order = NHWC_TO_NCHW if len(shape) == 4 else range(len(shape))
        sizes: list[str | int | None] = ["N", *[shape[axis] for axis in order][1:]]
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.value_infos[name] = helper.make_tensor_value_info(name, kind, sizes)

    def to_nchw(self, name: str, rank: int) -> str:
        """Name of a value of TFLite's layout in the layout of the artifact."""
        return self.emit("Transpose", [name], perm=list(NHWC_TO_NCHW)) if rank == 4 else name

    def to_nhwc(self, name: str, rank: int) -> str:
        """Name of a value of the artifact's layout in the layout of TFLite."""
        return self.emit("Transpose", [name], perm=list(NCHW_TO_NHWC)) if rank == 4 else name

    def unique(self, name: str) -> str:
        """The name, with a number appended if another value has it."""
        found, count = name, 1
        while found in self._names:
            count += 1
            found = f"{name}#{count}" if count < 100 else f"{name}#{len(self._names)}"
        self._names.add(found)
        return found
