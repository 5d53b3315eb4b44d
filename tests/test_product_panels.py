"""Integer layers in panels, the form of AArch64, with portable operations on other CPUs."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from artifacts import ArtifactBuilder
from numpy.typing import NDArray
from onnx import TensorProto

from bnnkit.artifact.reference import Reference
from bnnkit.errors import ArtifactError
from bnnkit.runtime.kernels.cpu import has_byte_dot_product, is_aarch64
from bnnkit.runtime.kernels.records_of_convolutions import ConvolutionRecord, PanelRecord
from bnnkit.runtime.lowering.kernel_forms import IntegerForm, forms_of_this_cpu
from bnnkit.runtime.memory import weights
from bnnkit.runtime.memory.bounds import check_record
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.steps.convolution import QUADS, SHORTS, Convolution

FORMS: tuple[IntegerForm, ...] = ("byte panels", "short panels")


@pytest.mark.parametrize("multiple", [2, 4])
@pytest.mark.parametrize("has_runs", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 3, 3), (5, 5, 1), (2, 3, 4), (1, 1, 9)])
def test_the_order_of_taps(shape: tuple[int, int, int], has_runs: bool, multiple: int) -> None:
    """Whole steps of each run, then what is left of each, then zeros."""
    height, width, inputs = shape
    taps = np.arange(1, height * width * inputs + 1, dtype=np.int16).reshape(1, *shape)
    found = weights.panel_taps(taps, has_runs=has_runs, multiple=multiple)
    whole: list[int] = []
    rest: list[int] = []
    for row in range(height):
        pixels = [taps[0, row, column].tolist() for column in range(width)]
        for run in [list(chain(*pixels))] if has_runs else pixels:
            end = len(run) // multiple * multiple
            whole += run[:end]
            rest += run[end:]
    want = whole + rest
    assert found.tolist() == [want + [0] * (-len(want) % multiple)]


def test_both_parts_of_every_weight() -> None:
    every = np.arange(-(2**15), weights.MOST_SPLIT + 1, dtype=np.int16).reshape(-1, 4)
    high, low = weights.quads(every).view(np.int8).reshape(len(every), 2, 4).transpose(1, 0, 2)
    np.testing.assert_array_equal(256 * high.astype(int) + low, every)


@pytest.mark.parametrize(
    ("most", "dtype"), [(weights.MOST_SPLIT, QUADS), (weights.MOST_SPLIT + 1, SHORTS)]
)
def test_weights_beyond_two_bytes_are_left_to_int16(
    most: int, dtype: np.dtype[np.generic]
) -> None:
    a = ArtifactBuilder(0)
    weight, zero_point = np.full((1, 1), most, np.int16), np.zeros(1, np.uint8)
    names = a.constant(weight), a.constant(zero_point)
    graph = a.artifact((1,), a.add("bnnkit.IntegerLinear", "x", *names), dtype=TensorProto.UINT8)
    forms = replace(forms_of_this_cpu(), integer="byte panels")
    (step,) = (s for s in Plan(graph.graph, forms=forms).steps if isinstance(s, Convolution))
    assert step.weights.dtype == dtype


def test_padding_is_the_zero_point_minus_128() -> None:
    a = ArtifactBuilder(1)
    sums = a.integer_conv2d("x", 3, 4)
    graph = a.artifact((3, 2, 2), sums, dtype=TensorProto.UINT8).graph
    plan = Plan(graph, forms=replace(forms_of_this_cpu(), integer="byte panels"))
    (centred,) = (value for value in plan.values.values() if value.border is not None)
    (zero_point,) = (v for v in graph.constants.values() if v.dtype == np.uint8)
    buffer = centred.allocate(2)
    assert buffer.shape == (2, 4, 4, 3)
    assert (buffer == zero_point.reshape(-1).astype(int) - 128).all()


def random_layer(a: ArtifactBuilder, inputs: int, outputs: int, kernel: int, **window: int) -> str:
    """Sums of a layer with extreme weights and zero points."""
    group = window.get("group", 1)
    weight = a.rng.integers(-2047, 2048, (outputs, inputs // group, kernel, kernel))
    weight[0] = 2047
    point = a.rng.choice([0, 1, 127, 128, 255], (inputs, 1, 1))
    return a.add(
        "bnnkit.IntegerConv2d",
        "x",
        a.constant(weight.astype(np.int16)),
        a.constant(point.astype(np.uint8)),
        strides=[window.get("down", 1), window.get("right", 1)],
        pads=[window.get("pad", 0)] * 4,
        dilations=[1, window.get("dilation", 1)],
        group=group,
    )


def images(a: ArtifactBuilder, *shape: int) -> NDArray[np.uint8]:
    found = a.rng.integers(0, 256, shape).astype(np.uint8)
    found[0] = 255
    return found


def check_form(form: IntegerForm, a: ArtifactBuilder, shape: tuple[int, ...], *names: str) -> None:
    """Compare a network's outputs with those of the reference, for some threads."""
    artifact = a.artifact(shape, *names, dtype=TensorProto.UINT8)
    x = images(a, 3, *shape)
    plan = Plan(artifact.graph, forms=replace(forms_of_this_cpu(), integer=form))
    kinds = {s.weights.dtype for s in plan.steps if isinstance(s, Convolution)}
    assert kinds == {QUADS if form == "byte panels" else SHORTS}
    for threads in (1, 2, 3):
        bound = plan.bind(len(x), threads)
        np.copyto(bound.memory.buffers["x"], x)
        bound.run()
        for name, want in zip(names, Reference(artifact).run(x), strict=True):
            np.testing.assert_array_equal(plan.read(name, bound.memory), want)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_layers_equal_the_reference(form: IntegerForm) -> None:
    if form == "byte panels" and is_aarch64() and not has_byte_dot_product():
        pytest.skip("this CPU has no sdot")
    for seed, (inputs, outputs, kernel, window) in enumerate(
        [
            (3, 40, 3, {"pad": 1}),
            (1, 33, 5, {"pad": 2}),
            (4, 16, 2, {"down": 2, "right": 3}),
            (5, 17, 3, {"dilation": 2, "pad": 1}),
            (6, 20, 3, {"group": 2, "pad": 1}),
            (2, 3, 1, {}),
        ]
    ):
        a = ArtifactBuilder(seed)
        sums = random_layer(a, inputs, outputs, kernel, **window)
        limits = a.rng.integers(-200_000, 200_000, (outputs, 1, 1))
        limits[:2] = [[[2**31 - 1]], [[-(2**31)]]]
        signs = a.threshold(random_layer(a, inputs, outputs, kernel, **window), limits)
        scale, bias = (a.constant(a.rng.normal(size=(outputs, 1, 1)).astype("f4")) for _ in "ab")
        cast = a.add("Cast", random_layer(a, inputs, outputs, kernel, **window), to=1)
        reals = a.add("Add", a.add("Mul", cast, scale), bias)
        check_form(form, a, (inputs, 6, 7), sums, signs, reals)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_one_pixel_and_a_dense_layer(form: IntegerForm) -> None:
    if form == "byte panels" and is_aarch64() and not has_byte_dot_product():
        pytest.skip("this CPU has no sdot")
    a = ArtifactBuilder(9)
    check_form(form, a, (3, 3, 3), random_layer(a, 3, 18, 3))
    a = ArtifactBuilder(10)
    weight = a.rng.integers(-2047, 2048, (10, 785)).astype(np.int16)
    weight[:, 20:] = 0
    point = a.rng.integers(0, 256, 785).astype(np.uint8)
    check_form(
        form, a, (785,), a.add("bnnkit.IntegerLinear", "x", a.constant(weight), a.constant(point))
    )


def test_panels_that_leave_their_buffers_are_refused() -> None:
    a = ArtifactBuilder(0)
    graph = a.artifact((3, 4, 6), a.integer_conv2d("x", 3, 16), dtype=TensorProto.UINT8).graph
    plan = Plan(graph, forms=replace(forms_of_this_cpu(), integer="short panels"))
    memory = Memory(plan.values, 1, 1)
    (step,) = (step for step in plan.steps if isinstance(step, Convolution))
    address = step.bind(memory).record
    (stored,) = (stored for stored in memory._records if stored.ctypes.data == address)
    record = PanelRecord(*stored.tolist())
    check_record(memory, record)
    assert record.steps == 14
    assert record.panel == 64 + 14 * 16
    for wrong in (record.capacity + 100, 0):
        convolution: ConvolutionRecord = memory.record_at(record.convolution)
        changed = record._replace(capacity=wrong) if wrong else convolution._replace(run=10_000)
        with pytest.raises(ArtifactError, match="a kernel would access the bytes"):
            check_record(memory, changed)


def test_an_image_in_another_order_is_centred_in_numpy() -> None:
    """Pixels that are not contiguous, behind a Transpose, become int16 or int8 as well."""
    a = ArtifactBuilder(3)
    moved = a.add("Transpose", "x", perm=[0, 3, 1, 2])
    sums = a.integer_conv2d(moved, 3, 5)
    artifact = a.artifact((4, 6, 3), sums, dtype=TensorProto.UINT8)
    x = images(a, 2, 4, 6, 3)
    plan = Plan(artifact.graph)
    bound = plan.bind(2, 1)
    np.copyto(bound.memory.buffers["x"], x)
    bound.run()
    (want,) = Reference(artifact).run(x)
    np.testing.assert_array_equal(plan.read(sums, bound.memory), want)
