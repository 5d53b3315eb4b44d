"""ONNX's own tests of single operators, which its package holds."""

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.backend.test.loader import load_model_tests

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class NodeTest:
    """A small model with the results that it must give.

    Attributes:
        name: Its name in ONNX's package.
        model: A model whose inputs are all computed.
        inputs: The values of the inputs in order: arrays, lists of arrays, or None.
        outputs: The values of the outputs, likewise.
        rtol: Relative tolerance of the results.
        atol: Absolute tolerance.
    """

    name: str
    model: onnx.ModelProto
    inputs: list[Any]
    outputs: list[Any]
    rtol: float
    atol: float

    @property
    def is_of_arrays(self) -> bool:
        """Whether it has an input, and all its inputs and outputs are arrays."""
        values = [*self.inputs, *self.outputs]
        return bool(self.inputs) and all(isinstance(value, np.ndarray) for value in values)

    def with_constants(self) -> onnx.ModelProto:
        """Return the model with all inputs but the first as initializers."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        for value, array in list(zip(model.graph.input, self.inputs, strict=True))[1:]:
            if isinstance(array, np.ndarray):
                model.graph.initializer.append(numpy_helper.from_array(array, value.name))
        return model

    def is_right(self, results: list[Any]) -> bool:
        """Whether results have the wanted types and shapes, and are within the tolerances."""
        return self._is_close(results, self.outputs)

    def _is_close(self, got: Any, want: Any) -> bool:
        if isinstance(want, list):  # all outputs, or a sequence of arrays
            return len(got) == len(want) and all(map(self._is_close, got, want))
        if want is None:
            return got is None
        got = np.asarray(got)
        if want.dtype.kind in "OSU":  # texts
            return bool(np.array_equal(got.astype(str), want.astype(str)))
        if (got.dtype, got.shape) != (want.dtype, want.shape):
            return False
        if want.dtype.kind in "biu":
            return bool(np.array_equal(got, want))
        wide = np.complex128 if want.dtype.kind == "c" else np.float64
        with np.errstate(all="ignore"):
            return np.allclose(
                got.astype(wide), want.astype(wide), self.rtol, self.atol, equal_nan=True
            )


@cache
def node_tests() -> tuple[NodeTest, ...]:
    """Return all tests of operators, in the order of ONNX's package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from the code that computes ONNX's own examples
        cases = load_model_tests(kind="node")
    found = []
    for case in cases:
        assert case.model is not None  # as for all tests of kind "node"
        assert case.data_sets is not None
        inputs, outputs = case.data_sets[0]
        test = NodeTest(
            name=case.name,
            model=case.model,
            inputs=[_value(x) for x in inputs],
            outputs=[_value(y) for y in outputs],
            rtol=case.rtol,
            atol=case.atol,
        )
        found.append(test)
    return tuple(found)


def _value(value: Any) -> Any:
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value
