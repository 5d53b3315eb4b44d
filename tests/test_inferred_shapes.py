"""Shapes are inferred without the weights, and the weights come back."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bnnkit.export.from_onnx.convert import from_onnx

RNG = np.random.default_rng(0)


def source() -> onnx.ModelProto:
    """A binary and a real layer, an image-sized constant for each image, and a batch to move."""
    signs = RNG.choice([-1, 1], (64, 4, 3, 3)).astype(np.float32)
    constants = {
        "w": signs,
        "real": RNG.standard_normal((64, 64, 3, 3)).astype(np.float32),
        "bias": RNG.standard_normal((1, 4, 1, 1)).astype(np.float32),
        "order": np.array([0, -1]),
    }
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Expand", ["bias", "shape"], ["biases"]),
        helper.make_node("Add", ["x", "biases"], ["moved"]),
        helper.make_node("Sign", ["moved"], ["s"]),
        helper.make_node("Conv", ["s", "w"], ["c"]),
        helper.make_node("Conv", ["c", "real"], ["d"]),
        helper.make_node("Transpose", ["d"], ["t"], perm=[1, 0, 2, 3]),
        helper.make_node("Transpose", ["t"], ["back"], perm=[1, 0, 2, 3]),
        helper.make_node("Reshape", ["back", "order"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "source",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 20, 20])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", None])],
        [numpy_helper.from_array(x, name) for name, x in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_the_inference_gets_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    infer = onnx.shape_inference.infer_shapes

    def measured(model: onnx.ModelProto, *arguments: Any, **options: Any) -> onnx.ModelProto:
        sizes.append(model.ByteSize())
        return infer(model, *arguments, **options)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", measured)
    model = source()
    real = numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == "real"))
    converted, *_ = from_onnx(model)
    assert len(sizes) > 3
    assert max(sizes) < 10_000 < real.nbytes
    kept = [numpy_helper.to_array(t) for t in converted.model.graph.initializer]
    assert any(np.array_equal(real, each) for each in kept if each.shape == real.shape)
