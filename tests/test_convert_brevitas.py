"""Networks of Brevitas against the executor of QONNX (tests/brevitas_files.py made both).

BNNKIT_BREVITAS may name a folder with full-size ones.
"""

import gzip
import os
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from bnnkit.artifact.reference import Reference
from bnnkit.artifact.report import report
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model

SMALL = Path(__file__).parent / "data" / "brevitas"
LARGE = os.environ.get("BNNKIT_BREVITAS")
FILES = [
    *sorted(SMALL.glob("*.onnx.gz")),
    *(sorted(Path(LARGE).glob("*.onnx.gz")) if LARGE else []),
]
TOLERANCE = 1e-5  # of scales that are no powers of two, multiplied in another order

Array = NDArray[Any]


def source_in(path: Path) -> onnx.ModelProto:
    return onnx.load_model_from_string(gzip.decompress(path.read_bytes()))


def golden(path: Path) -> tuple[Array, Array]:
    stored = np.load(path.parent / f"{path.name.partition('.')[0]}.npz")
    return stored["images"], stored["scores"]


def onnxruntime_scores(model: onnx.ModelProto, images: Array) -> Array:
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    scores: Array = session.run(None, {"input": images})[0]
    return scores


def assert_golden(scores: Array, want: Array, name: str) -> None:
    """Equal bits; where scales are no powers of two, equal classes and equal up to rounding."""
    if not name.startswith("scaled"):
        np.testing.assert_array_equal(scores, want)
    np.testing.assert_array_equal(scores.argmax(1), want.argmax(1))
    np.testing.assert_allclose(scores, want, rtol=0, atol=TOLERANCE)


def test_there_are_files_of_every_exporter() -> None:
    kinds = {path.name.split(".")[1] for path in FILES}
    assert kinds == {"script", "script_clean", "dynamo", "dynamo_clean"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".onnx.gz"))
def test_scores_are_those_of_qonnx(path: Path) -> None:
    model, differences = from_onnx(source_in(path))
    images, want = golden(path)
    assert differences.remapped == ()  # BipolarQuant gives +1 for 0, as we do
    assert_golden(onnxruntime_scores(model.model, images), want, path.name)
    assert_golden(np.asarray(Model(model).run(images)), want, path.name)
    (scores,) = Reference(model).run(images[:8])
    assert_golden(scores, want[:8], path.name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".onnx.gz"))
@pytest.mark.slow
def test_binary_weights_take_a_bit_each(path: Path) -> None:
    source = source_in(path)
    model, _ = from_onnx(source)
    found = report(model, model.model.ByteSize())
    assert found.is_near_ideal_size
    weights = [prod(t.dims) for t in source.graph.initializer if len(t.dims) in (2, 4)]
    tensors = model.model.graph.initializer
    packed = [t for t in tensors if t.data_type == onnx.TensorProto.UINT8 and t.dims]
    assert sorted(prod(t.dims) for t in packed) == sorted(ceil(n / 8) for n in weights)
    others = sum(onnx.numpy_helper.to_array(t).nbytes for t in tensors if t not in packed)
    assert others < 16 * len(found.layers) + 8 * sum(
        prod(t.dims) for t in source.graph.initializer if len(t.dims) == 1
    )


@pytest.mark.parametrize("exporter", ["script", "script_clean", "dynamo", "dynamo_clean"])
def test_what_is_binary_in_cnv(exporter: str) -> None:
    model, _ = from_onnx(source_in(SMALL / f"cnv_narrow_1w1a.{exporter}.onnx.gz"))
    found = report(model, model.model.ByteSize())
    first, *others = found.layers
    assert (first.kind, first.reason) == (
        "float",
        "input is real-valued: no Sign stands before it",
    )
    assert [layer.operator for layer in others] == [
        *["BinaryConv2dThreshold"] * 5,
        *["BinaryLinear"] * 3,
    ]
    assert [sign.is_threshold for sign in found.signs] == [False] + [True] * 7
    operators = [node.op_type for node in model.model.graph.node]
    assert operators[:6] == ["Mul", "Sub", "Div", "Clip", "Round", "Mul"]  # the 8-bit input


def test_names_are_those_of_the_modules() -> None:
    model, _ = from_onnx(source_in(SMALL / "cnv_narrow_1w1a.script.onnx.gz"))
    found = report(model, model.model.ByteSize())
    assert [layer.name for layer in found.layers[:3]] == [
        f"conv_features.{index}" for index in (1, 4, 8)
    ]
    assert [sign.name for sign in found.signs[-2:]] == ["linear_features.2", "linear_features.5"]


def test_two_bit_activations_become_bit_planes() -> None:
    """Four layers; the narrow range has three levels, so two planes for each."""
    model, _ = from_onnx(source_in(SMALL / "tfc_1w2a.script.onnx.gz"))
    operators = [node.op_type for node in model.model.graph.node]
    assert operators.count("BinaryLinear") == 8
    assert not {"Round", "BinaryWeight", "MatMul"} & set(operators)
    images, want = golden(SMALL / "tfc_1w2a.script.onnx.gz")
    np.testing.assert_array_equal(Model(model).run(images), want)


def test_any_batch_runs() -> None:
    model, _ = from_onnx(source_in(SMALL / "tfc_1w1a.dynamo.onnx.gz"))
    images, want = golden(SMALL / "tfc_1w1a.dynamo.onnx.gz")
    for size in (1, 7):
        np.testing.assert_array_equal(Model(model).run(images[:size]), want[:size])
