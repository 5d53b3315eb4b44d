"""TFLite's builtin operators alone: limits, sizes, the report. Shapes: the other test_tflite_*."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from artifacts import ArtifactBuilder, digits_like
from click.testing import CliRunner
from test_tflite_networks import MNIST, artifact_of
from test_tflite_writer import read_by_schema
from tflite_runs import VARIANTS, assert_equal_in_builtins, needs_lce, normal, run_builtins

from bnnkit import data
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.reference import Reference
from bnnkit.cli.group import bnnkit_command
from bnnkit.errors import UsageError
from bnnkit.export.tflite import Choice, to_tflite
from bnnkit.runtime import Model
from bnnkit.tflite.schema import TensorType

TINY = float(np.finfo(np.float32).smallest_normal)
BYTE = "builtin operators have no binary layer: one byte a weight"


@needs_lce
def test_every_sum_against_every_threshold() -> None:
    """All 512 inputs of nine signs, thresholds from always to never."""
    a = ArtifactBuilder()
    sums = a.binary_linear(a.sign("x"), 9, 20)
    bits = a.threshold(sums, np.arange(-9, 11))
    images = np.array(list(itertools.product([-1, 1], repeat=9)), np.float32)
    assert_equal_in_builtins(a.artifact((9,), bits), images)


@needs_lce
def test_sums_of_many_signs_beside_their_thresholds() -> None:
    a = ArtifactBuilder()
    n = 65536
    images = normal((2, n))
    images[0] = 1
    signs = a.sign("x")
    sums = a.binary_linear(signs, n, 30)
    row = np.full(-(-n * 30 // 8), 0, np.uint8)
    row[: n // 4] = 255
    a.nodes[-1].input[1] = a.constant(row)  # two channels of -1, else +1
    found = Reference(a.artifact((n,), sums)).run(images)[0]
    assert found[0].tolist() == [-n] * 2 + [n] * 28
    for image in found:
        bits = a.threshold(sums, image + np.arange(30) % 3 - 1)
        assert_equal_in_builtins(a.artifact((n,), bits), images)


@needs_lce
@pytest.mark.parametrize("number", [-0.0, 0.0, TINY, -TINY, np.inf, -np.inf, 3e38, -3e38])
def test_signs_of_numbers_at_their_limits(number: float) -> None:
    a = ArtifactBuilder()
    assert_equal_in_builtins(a.artifact((2,), a.sign("x")), np.full((1, 2), number, np.float32))


@pytest.fixture
def network() -> tuple[Artifact, list[Choice]]:
    """A network with each kind of binary layer, and what the report says of them."""
    a = ArtifactBuilder()
    signs = a.sign("x")
    padded = a.binary_conv2d(a.pad_with_ones(signs, 1, 1, 1, 1), 40, 32, stride=2)
    grouped = a.binary_conv2d(padded, 32, 64, 1, groups=2)
    sums = a.binary_conv2d(grouped, 64, 8, thresholds=False)
    sizes = [40 * 32 * 9, 16 * 64, 64 * 8 * 9]
    forms = ["int8, after a PADV2", "int8", "float32, its weights from a DEQUANTIZE"]
    costs = [
        (1, 8 * 8 * 40 + 9 * 32 - 9 * 4),  # the padded map, the result, less packed
        (4, 9 * 32 + 9 * 64 + 9 * 64 - 9 * 2 * 4),  # slices, results, all, less packed
        (2, 9 * 64 * 4 + sizes[2] * 4),  # signs and weights as float32
    ]
    choices = [
        Choice(name, f"convolution of {form}", BYTE, size - size // 8, *cost)
        for name, form, size, cost in zip(
            (padded, grouped, sums), forms, sizes, costs, strict=True
        )
    ]
    return a.artifact((40, 6, 6), sums), choices


@pytest.mark.parametrize("batch", [1, 3])
def test_the_report_says_what_bytes_cost(
    network: tuple[Artifact, list[Choice]], batch: int
) -> None:
    model, choices = network
    packed, plain = (to_tflite(model, variant=v, batch=batch).report for v in VARIANTS)
    assert (packed.variant, plain.variant) == ("lce", "builtin")
    assert list(plain.choices) == choices
    extra = [sum(c.extra_bytes for c in report.choices) for report in (plain, packed)]
    assert abs(plain.file_bytes - extra[0] - (packed.file_bytes - extra[1])) < 3000
    assert plain.operators == {
        "CAST": 1,
        "CONCATENATION": 1,
        "CONV_2D": 4,
        "DEQUANTIZE": 2,
        "GREATER_EQUAL": 1,
        "PADV2": 1,
        "SELECT_V2": 1,
        "STRIDED_SLICE": 2,
    }


@needs_lce
def test_bytes_count_themselves(network: tuple[Artifact, list[Choice]]) -> None:
    """Each int8 tensor has the scale 1 and the zero point 0, as has the bias of each layer."""
    _, found = read_by_schema(to_tflite(network[0], variant="builtin").content)
    (graph,) = found.subgraphs
    kinds = (TensorType.INT8,)
    signs = [tensor for tensor in graph.tensors if tensor.type in kinds]
    layers = [op for op in graph.operators if len(op.inputs) == 3 and op.builtinOptionsType == 1]
    to_signs = [op for op in layers if graph.tensors[op.outputs[0]].type in kinds]
    assert (len(layers), len(to_signs)) == (4, 3)
    for tensor in [*signs, *(graph.tensors[op.inputs[2]] for op in to_signs)]:
        assert tensor.quantization.scale.tolist() == [1.0]
        assert tensor.quantization.zeroPoint.tolist() == [0]
    assert {op.builtinOptions.fusedActivationFunction for op in to_signs} == {2}


@pytest.mark.slow
@needs_lce
@pytest.mark.skipif(not MNIST.is_dir(), reason=f"needs the MNIST files in {MNIST}")
def test_classes_of_mnist() -> None:
    images = data.load("mnist", MNIST).x_test
    model = artifact_of("convnet", (1, 28, 28), {"width": 8}, images[:64])
    runtime = Model(model)
    content = to_tflite(model, variant="builtin", batch=1000).content
    for block in images.reshape(10, 1000, 1, 28, 28):
        (scores,) = run_builtins(content, block, xnnpack=True)
        expected = runtime.run(block)
        assert isinstance(expected, np.ndarray)
        np.testing.assert_array_equal(scores.argmax(axis=1), expected.argmax(axis=1))
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-3)


def test_the_same_bytes_each_time() -> None:
    model, _ = digits_like()
    contents = {to_tflite(model, variant="builtin").content for _ in range(2)}
    assert len(contents) == 1


def test_no_such_variant() -> None:
    with pytest.raises(UsageError, match="expected a variant among lce, builtin, got 'ort'"):
        to_tflite(digits_like()[0], variant="ort")  # type: ignore[arg-type]


@pytest.fixture
def run(digits_run: Path, tmp_path: Path) -> Callable[..., tuple[int, str, Path]]:
    """`bnnkit export` of a small network: its exit code, its words, and the file."""

    def export(*words: str) -> tuple[int, str, Path]:
        path = tmp_path / "m.tflite"
        line = ["export", str(digits_run), "-o", str(path), *words]
        result = CliRunner().invoke(bnnkit_command, line)
        return result.exit_code, result.output, path

    return export


def test_the_command(run: Callable[..., tuple[int, str, Path]]) -> None:
    code, output, path = run("--to", "tflite", "--variant", "builtin")
    assert code == 0, output
    assert path.read_bytes()[4:8] == b"TFL3"
    assert b"Lce" not in path.read_bytes()
    assert "DEQUANTIZE" in output
    assert "convolution of int8" in output


def test_the_variant_is_of_tflite(
    run: Callable[..., tuple[int, str, Path]], tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    code, output, _ = run("--variant", "builtin", "-o", str(path))
    assert code != 0
    assert "--variant needs --to tflite" in output
    assert not path.exists()
