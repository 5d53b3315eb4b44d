"""Small ONNX files that ask for much are refused when they are loaded, before they take it."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from artifacts import ArtifactBuilder
from onnx import TensorProto, numpy_helper

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.budget import content_bytes, onnx_budget
from bnnkit.errors import ArtifactError, BnnkitError, UnsupportedError
from bnnkit.runtime import Model
from bnnkit.runtime.lowering.check_network import check_network

WINDOW = {"strides": [1, 1], "dilations": [1, 1], "group": 1}


def constants(a: ArtifactBuilder) -> Artifact:
    """Thirty doublings of four numbers."""
    value = a.constant(np.ones(4, np.float32))
    for _ in range(30):
        value = a.add("Concat", value, value, axis=0)
    return a.artifact((4,), a.add("Add", "x", a.add("ReduceSum", value, keepdims=0)))


def broadcast(a: ArtifactBuilder) -> Artifact:
    """A column plus a row of an input."""
    column = a.add("Reshape", "x", a.constant(np.array([0, 1, 30000, 1])))
    row = a.add("Reshape", "x", a.constant(np.array([0, 1, 1, 30000])))
    return a.artifact((30000,), a.add("Add", column, row))


def pool_of_signs(a: ArtifactBuilder) -> Artifact:
    """A window that lies in its padding but for a corner."""
    size = 1 << 20
    pads = [size - 1, size - 1, 0, 0]
    return a.artifact(
        (4, 6, 6), a.add("MaxPool", a.sign("x"), kernel_shape=[size, size], pads=pads)
    )


def pool_of_reals(a: ArtifactBuilder) -> Artifact:
    size = 1 << 18
    pads = [size - 1, size - 1, 0, 0]
    return a.artifact((4, 6, 6), a.add("MaxPool", "x", kernel_shape=[size, size], pads=pads))


def window_in_numpy(a: ArtifactBuilder) -> Artifact:
    """A pooling without a kernel, which NumPy computes pixel by pixel of the window."""
    pads = [4000, 4000, 0, 0]
    pool = a.add("AveragePool", "x", kernel_shape=[4001, 4001], pads=pads, count_include_pad=1)
    return a.artifact((1, 2, 2), pool)


def padding(a: ArtifactBuilder) -> Artifact:
    pads = a.constant(np.array([0, 0, 0, 0, 0, 0, 40000, 40000]))
    return a.artifact((1, 6, 6), a.add("GlobalAveragePool", a.add("Pad", "x", pads)))


def padding_of_signs(a: ArtifactBuilder) -> Artifact:
    padded = a.pad_with_ones(a.sign("x"), 0, 0, 20000, 20000)
    return a.artifact((1, 6, 6), a.binary_conv2d(padded, 1, 8, 1))


def pads_of_images(a: ArtifactBuilder) -> Artifact:
    weight, zero = a.constant(np.ones((1, 1, 1, 1), np.int16)), np.zeros((1, 1, 1), np.uint8)
    sums = a.add(
        "bnnkit.IntegerConv2d", "x", weight, a.constant(zero), pads=[0, 0, 30000, 30000], **WINDOW
    )
    return a.artifact((1, 4, 4), sums, dtype=TensorProto.UINT8)


def borders(a: ArtifactBuilder) -> Artifact:
    """Zero padding of which every pixel is another case."""
    return a.artifact((1, 6, 6), a.binary_conv2d(a.sign("x"), 1, 8, 400, pads=[399] * 4))


def groups(a: ArtifactBuilder) -> Artifact:
    signs = a.sign("x")
    return a.artifact((8192, 1, 1), a.binary_conv2d(signs, 8192, 8192, 1, groups=8192))


def products(a: ArtifactBuilder) -> Artifact:
    """The input times itself, again and again."""
    value = a.add("Reshape", "x", a.constant(np.array([0, 512, 512])))
    for _ in range(200):
        value = a.add("MatMul", value, value)
    return a.artifact((512 * 512,), value)


def steps(a: ArtifactBuilder) -> Artifact:
    """A recurrent layer of one number, with millions of steps."""
    w, r = (a.constant(np.ones((1, 4, 1), np.float32)) for _ in range(2))
    layer = a.add("LSTM", a.add("Transpose", "x", perm=[1, 0, 2]), w, r, hidden_size=1)
    return a.artifact((1 << 22, 1), a.add("Transpose", layer, perm=[2, 0, 1, 3]))


def operands(a: ArtifactBuilder) -> Artifact:
    """An Einsum whose operands can be multiplied in very many orders."""
    others = [a.constant(np.zeros(2, np.float32)) for _ in range(1000)]
    equation = "bij" + ",k" * len(others) + "->bij"
    return a.artifact((3, 4), a.add("Einsum", "x", *others, equation=equation))


def an_input(a: ArtifactBuilder) -> Artifact:
    return a.artifact((1 << 40,), a.add("Relu", "x"))


FILES = [
    constants, broadcast, pool_of_signs, pool_of_reals, window_in_numpy, padding,
    padding_of_signs, pads_of_images, borders, groups, products, steps,
    operands, an_input,
]  # fmt: skip


@pytest.mark.parametrize("build", FILES)
def test_small_files_that_ask_for_much(build: Callable[[ArtifactBuilder], Artifact]) -> None:
    model = build(ArtifactBuilder(1))
    tracemalloc.start()
    try:
        with pytest.raises(BnnkitError, match=r"for (an input and )?a file of (its|this) size"):
            Model(model)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100e6


def test_a_budget_is_spent() -> None:
    model = padding(ArtifactBuilder(1)).model
    budget = onnx_budget(model, 36)
    with pytest.raises(UnsupportedError, match=r"a value of 5000000 numbers .* more than 41"):
        budget.spend_values(5_000_000)
    budget.spend_values(4_000_000, 4)
    budget.spend_values(4_000_000, bits=1)
    with pytest.raises(UnsupportedError, match=r"all values up to this one, .* more than 16"):
        budget.spend_values(4_000_000)
    with pytest.raises(ArtifactError, match="read too often"):
        onnx_budget(model, 36).spend_constants(1 << 25)
    with pytest.raises(UnsupportedError, match=r"products up to this node, .* BNNKIT_NO_LIMITS"):
        onnx_budget(model, 36).spend_work(1 << 31)


def convolution(a: ArtifactBuilder, value: str, inputs: int, outputs: int, size: int = 3) -> str:
    weight = a.constant(np.zeros((outputs, inputs, size, size), np.float32))
    return a.add("Conv", value, weight, pads=[size // 2] * 4, **WINDOW)


def super_resolution(a: ArtifactBuilder) -> Artifact:
    """Few weights for an image of a megapixel."""
    value = "x"
    for inputs, outputs in ((1, 32), (32, 8), (8, 8), (8, 32)):
        value = a.add("Relu", convolution(a, value, inputs, outputs))
    return a.artifact((1, 1024, 1024), value)


def denoising(a: ArtifactBuilder) -> Artifact:
    """DnCNN: 17 layers for a gray image."""
    value = a.add("Relu", convolution(a, "x", 1, 64))
    for _ in range(15):
        value = a.add("Relu", convolution(a, value, 64, 64))
    return a.artifact((1, 512, 512), a.add("Sub", "x", convolution(a, value, 64, 1)))


def binary_super_resolution(a: ArtifactBuilder) -> Artifact:
    """EDSR: 16 residual blocks of two binary layers."""
    value, column = convolution(a, "x", 3, 64), a.constant(np.ones((64, 1, 1), np.float32))
    for _ in range(32):
        sums = a.binary_conv2d(a.sign(value), 64, 64, pads=(1,) * 4, thresholds=False)
        scaled = a.add("Mul", a.add("Cast", sums, to=TensorProto.FLOAT), column)
        value = a.add("Add", value, a.add("Add", scaled, column))
    return a.artifact((3, 256, 256), convolution(a, value, 64, 3))


def audio(a: ArtifactBuilder) -> Artifact:
    """WaveNet: 30 gated layers of dilated convolutions, for a second of sound."""

    def layer(value: str, inputs: int, width: int, dilation: int) -> str:
        weight = a.constant(np.zeros((64, inputs, width), np.float32))
        pads = [dilation * (width // 2)] * 2
        return a.add("Conv", value, weight, pads=pads, dilations=[dilation])

    value = layer("x", 1, 3, 1)
    for i in range(30):
        tanh, gate = (layer(value, 64, 3, 1 << i % 10) for _ in range(2))
        product = a.add("Mul", a.add("Tanh", tanh), a.add("Sigmoid", gate))
        value = a.add("Add", value, layer(product, 64, 1, 1))
    return a.artifact((1, 16000), value)


def segmentation(a: ArtifactBuilder) -> Artifact:
    """U-Net with four levels."""
    value, kept = convolution(a, "x", 3, 32), []
    for width in (32, 64, 128):
        value = a.add("Relu", convolution(a, value, width, 2 * width))
        kept.append(value)
        value = a.add("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2])
    for width in (256, 128, 64):
        value = a.add("Resize", value, "", a.constant(np.array([1, 1, 2, 2], np.float32)))
        value = a.add("Concat", value, kept.pop(), axis=1)
        value = a.add("Relu", convolution(a, value, 2 * width, width // 2))
    return a.artifact((3, 512, 512), convolution(a, value, 32, 4, 1))


@pytest.mark.parametrize(
    "build", [super_resolution, denoising, binary_super_resolution, audio, segmentation]
)
def test_ordinary_networks_on_large_images_are_taken(
    build: Callable[[ArtifactBuilder], Artifact],
) -> None:
    check_network(build(ArtifactBuilder(1)))


def test_limits_can_be_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = broadcast(ArtifactBuilder(1))
    monkeypatch.setenv("BNNKIT_NO_LIMITS", "1")
    check_network(artifact)


def test_the_size_of_a_file() -> None:
    """It is that of the constants and a few bytes a node, whichever field holds the numbers."""
    nodes = [
        onnx.helper.make_node("Constant", [], ["three"], value_ints=[1, 2, 3]),
        onnx.helper.make_node("Sum", ["stored", "three"], ["y"]),
    ]
    stored = numpy_helper.from_array(np.zeros((100, 50), np.int16), "stored")
    typed = onnx.helper.make_tensor("typed", TensorProto.FLOAT, [500], [0.0] * 500)
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], [stored, typed]))
    assert content_bytes(model) == 100 * 50 * 2 + 500 * 4 + 2 * 64
    assert content_bytes(model) < model.ByteSize() + 100


def test_shapes_of_shapes_load_in_time_of_their_number() -> None:
    """Each node reads the one before it twice; recursion would double the time."""
    a = ArtifactBuilder(1)
    shape = a.add("Shape", "x")
    for _ in range(100):
        shape = a.add("Max", shape, shape)
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(Model(a.artifact((4,), a.add("Reshape", "x", shape))).run(x), x)


def test_large_values_are_not_computed_when_a_file_is_loaded() -> None:
    a = ArtifactBuilder(1)
    value = a.add("Cast", "x", to=TensorProto.DOUBLE)
    value = a.add("Neg", a.add("Tile", value, a.constant(np.array([1, 1, 1, 16]))))
    artifact = a.artifact((1, 1024, 2048), a.add("GlobalMaxPool", value))
    tracemalloc.start()
    try:
        Model(artifact)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20e6


def test_places_of_maxima_take_memory_for_the_result_alone() -> None:
    a = ArtifactBuilder()
    for size, name in ((17, "largest"), (1, "own")):
        a.add("MaxPool", "x", kernel_shape=[size, size])
        a.nodes[-1].output.append(name)
    ends = [a.constant(np.array([0, 0])), a.constant(np.array([1, 1]))]
    first = a.add("Slice", "own", *ends, a.constant(np.array([2, 3])))
    places = a.add("Cast", a.add("Sub", "largest", first), to=1)  # in the map, as torch has them
    x = np.random.default_rng(0).standard_normal((1, 1, 600, 600)).astype(np.float32)
    tracemalloc.start()
    try:
        found = np.asarray(Model(a.artifact(x.shape[1:], places)).run(x))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    largest = np.lib.stride_tricks.sliding_window_view(x[0, 0], (17, 17)).max((2, 3))
    assert np.array_equal(x.reshape(-1)[found[0, 0].astype(np.int64)], largest)
    assert peak < 240 << 20, f"{peak} bytes; all taps at once take {17 * 17 * x.size * 12}"


def test_large_results_have_the_type_of_a_run() -> None:
    """ONNX infers their types, and the run computes them."""
    a = ArtifactBuilder(1)
    value = a.add("Tile", a.add("Cast", "x", to=TensorProto.DOUBLE), a.constant([1, 1, 1, 4]))
    value = a.add("GlobalMaxPool", a.add("Neg", value))
    x = np.random.default_rng(0).normal(size=(2, 1, 512, 1024)).astype(np.float32)
    found = Model(a.artifact((1, 512, 1024), value)).run(x)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found[:, 0, 0, 0], -x.min((1, 2, 3)).astype(np.float64))
