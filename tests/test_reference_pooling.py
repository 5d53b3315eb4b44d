"""The reference's MaxPool is ONNX's."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.reference import Reference

Array = NDArray[Any]

WINDOWS: list[dict[str, Any]] = [
    {"kernel_shape": [2, 2]},
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 2], "strides": [1, 3], "pads": [0, 0, 0, 0], "dilations": [1, 1]},
    {"kernel_shape": [9, 8]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 1]},
    {"kernel_shape": [2, 3], "dilations": [2, 1]},
    {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"},
]


def pooled(x: Array, attributes: dict[str, Any], outputs: int = 1) -> onnx.ModelProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
    names = ["y", "indices"][:outputs]
    node = onnx.helper.make_node("MaxPool", ["x"], names, **attributes)
    value = onnx.helper.make_tensor_value_info
    given, made = [value("x", kind, x.shape)], [value("y", kind, None)]
    return onnx.helper.make_model(
        onnx.helper.make_graph([node], "pool", given, made),
        opset_imports=[onnx.helper.make_opsetid("", 21)],
        ir_version=10,
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("attributes", WINDOWS, ids=str)
def test_maxima_are_those_of_onnx(attributes: dict[str, Any], dtype: type) -> None:
    x: Array = np.random.default_rng(0).integers(0, 200, (2, 3, 9, 8)).astype(dtype)
    model = pooled(x, attributes)
    with np.errstate(invalid="ignore"):  # ONNX's reference pads integers with NaN
        expected: Any = ReferenceEvaluator(model).run(None, {"x": x})
        (found,) = Reference(Artifact(model)).run(x)
    assert found.dtype == expected[0].dtype
    np.testing.assert_array_equal(found, expected[0])


def test_maps_of_one_axis_and_places_of_maxima() -> None:
    rng = np.random.default_rng(0)
    for shape, outputs in (((2, 3, 9), 1), ((2, 3, 9, 8), 2)):
        x = rng.standard_normal(shape).astype(np.float32)
        model = pooled(x, {"kernel_shape": [2] * (len(shape) - 2)}, outputs)
        expected: Any = ReferenceEvaluator(model).run(None, {"x": x})
        np.testing.assert_array_equal(Reference(Artifact(model)).run(x)[0], expected[0])
