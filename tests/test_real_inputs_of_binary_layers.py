"""Layers of binary weights with real inputs."""

import numpy as np
import pytest
from against_onnxruntime import TOLERANCE, numbers, onnxruntime
from artifacts import ArtifactBuilder

from bnnkit.artifact.format.bits import pack_weight
from bnnkit.runtime import Model


@pytest.mark.parametrize("inputs", [1, 5, 8, 36])
@pytest.mark.parametrize("outputs", [4, 16, 100])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 2, 0, 1]])
def test_binary_weights_with_real_inputs(
    inputs: int, outputs: int, groups: int, pads: list[int]
) -> None:
    binary, plain = ArtifactBuilder(11), ArtifactBuilder(11)
    signs = binary.signs(outputs, 3, 2, inputs)
    packed = binary.constant(pack_weight(signs))
    weight = binary.add("bnnkit.BinaryWeight", packed, weight_shape=signs.shape)
    bias = np.linspace(-1, 1, outputs, dtype=np.float32)
    options = {"pads": pads, "group": groups, "strides": [2, 1]}
    out = binary.add("Conv", "x", weight, binary.constant(bias), **options)
    oihw = plain.constant(signs.transpose(0, 3, 1, 2).astype(np.float32))
    want = plain.add("Conv", "x", oihw, plain.constant(bias), **options)
    shape = (inputs * groups, 9, 8)
    x = numbers(binary, *shape)
    got = Model(binary.artifact(shape, out)).run(x)
    np.testing.assert_allclose(
        got,
        onnxruntime(plain.artifact(shape, want), x)[0],
        atol=TOLERANCE * inputs,
        rtol=TOLERANCE,
    )


@pytest.mark.parametrize("features", [1, 8, 65, 200])
def test_dense_binary_weights_with_real_inputs(features: int) -> None:
    a = ArtifactBuilder(12)
    signs = a.signs(33, features)
    packed = a.constant(pack_weight(signs))
    weight = a.add("bnnkit.BinaryWeight", packed, weight_shape=signs.shape)
    bias = a.constant(np.ones(33, np.float32))
    x = numbers(a, features)
    got = Model(a.artifact((features,), a.add("Gemm", "x", weight, bias, transB=1))).run(x)
    np.testing.assert_allclose(got, x @ signs.T.astype(np.float32) + 1, atol=1e-4)
