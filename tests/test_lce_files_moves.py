"""Operators of TFLite files that move numbers and signs about, against NumPy and LCE."""

from itertools import permutations

import numpy as np
import onnx
import pytest
from artifacts import ArtifactBuilder
from lce_files import FILES
from lce_network import Array, Net, outputs_of
from tflite_runs import needs_lce, normal, to_nhwc

from bnnkit.artifact.reference import Reference
from bnnkit.export.tflite import Variant, to_tflite
from bnnkit.runtime.open_file import read
from bnnkit.tflite.schema import Builtin

PERMUTATIONS = [(0, *inner) for inner in permutations((1, 2, 3))]


def transposing(perm: tuple[int, ...], shape: tuple[int, ...]) -> bytes:
    net = Net(shape)
    target = net.value([shape[axis] for axis in perm])
    return net.content(net.add(Builtin.TRANSPOSE, [net.input, net.constant(perm)], target))


def assert_same(found: tuple[Array, ...], expected: Array) -> None:
    (array,) = found
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("perm", PERMUTATIONS)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 4, 4, 4)])
def test_transpose_of_maps(perm: tuple[int, ...], shape: tuple[int, ...]) -> None:
    images = normal(shape)
    for found in outputs_of(transposing(perm, shape), images):
        assert_same(found, images.transpose(perm))


@pytest.mark.parametrize("perm", [(0, 2, 1), (0, 3, 1, 2, 4), (0, 4, 3, 1, 2), (0, 1)])
def test_transpose_of_other_ranks(perm: tuple[int, ...]) -> None:
    images = normal((2, 3, 4, 5, 6)[: len(perm)])
    for found in outputs_of(transposing(perm, images.shape), images):
        assert_same(found, images.transpose(perm))


@needs_lce
@pytest.mark.parametrize("perm", PERMUTATIONS)
def test_transpose_in_lce(perm: tuple[int, ...]) -> None:
    from bnnkit.engines.lce import Interpreter

    images = normal((2, 3, 4, 5))
    content = transposing(perm, images.shape)
    (expected,) = Interpreter(content).run([images])
    for found in outputs_of(content, images):
        assert_same(found, expected)


@pytest.mark.parametrize("variant", ["lce", "builtin"])
@pytest.mark.parametrize("shape", [[0, -1], [0, 4, 3, 5], [0, 20, 3]])
def test_own_files_with_a_transpose(variant: Variant, shape: list[int]) -> None:
    a = ArtifactBuilder()
    out = a.add("Relu", a.add("Reshape", "x", a.constant(np.array(shape))))
    model = a.artifact((3, 4, 5), out)
    images = normal((2, 3, 4, 5))
    tflite = to_tflite(model, batch=2, variant=variant)
    assert "TRANSPOSE" in tflite.report.operators
    (expected,) = Reference(model).run(images)
    for (found,) in outputs_of(tflite.content, to_nhwc(images)):
        np.testing.assert_array_equal(
            found.transpose(0, 3, 1, 2) if found.ndim == 4 else found, expected
        )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shapes_are_what_onnx_infers(path: object) -> None:
    model = read(str(path))
    onnx.shape_inference.infer_shapes(
        model.model, check_type=True, strict_mode=True, data_prop=True
    )
