"""Binary convolutions of small groups, counted in bit planes, equal the slow reference."""

import numpy as np
import pytest
from against_reference import assert_equal, kinds
from artifacts import Array, ArtifactBuilder

from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.reference import Reference
from bnnkit.runtime import Model
from bnnkit.runtime.kernels.lookup import LANES
from bnnkit.runtime.lowering.kernel_forms import forms_of_this_cpu

SIZE = (7, 9)


def images(a: ArtifactBuilder, channels: int, size: tuple[int, int] = SIZE) -> Array:
    return a.rng.standard_normal((3, channels, *size)).astype(np.float32)


def outputs_of_all_kinds(
    a: ArtifactBuilder, source: str, groups: int, inputs: int, outputs: int, **window: object
) -> list[str]:
    """Add a layer with thresholds, one of sums, one of reals, one of shifted and clipped sums."""

    def layer(*, thresholds: bool) -> str:
        return a.binary_conv2d(
            source,
            groups * inputs,
            groups * outputs,
            groups=groups,
            thresholds=thresholds,
            **window,  # type: ignore[arg-type]
        )

    def numbers() -> str:
        shape = (groups * outputs, 1, 1)
        return a.constant(a.rng.standard_normal(shape).astype(np.float32))

    def real(*, limited: bool) -> str:
        sums = a.add("Cast", layer(thresholds=False), to=1)
        if limited:
            sums = a.add("Clip", sums, a.constant(np.float32(-2)), a.constant(np.float32(3)))
            sums = a.add("Add", sums, a.constant(np.float32(1)))
        return a.add("Add", a.add("Mul", sums, numbers()), numbers())

    return [
        layer(thresholds=True),
        layer(thresholds=False),
        real(limited=False),
        real(limited=True),
    ]


@pytest.mark.parametrize("channels", [2, 16, 63, 64, 96, 130, 576])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise(channels: int, stride: int) -> None:
    """Pixels of one word, of several, and of more than a vector."""
    a = ArtifactBuilder(channels)
    outs = outputs_of_all_kinds(a, a.sign("x"), channels, 1, 1, stride=stride, pads=(1, 1, 1, 1))
    model = a.artifact((channels, *SIZE), *outs)
    assert kinds(model).count("BitSlicedConvolution") == 4
    assert_equal(model, images(a, channels))


@pytest.mark.parametrize(
    ("kernel", "pads", "dilation"),
    [
        ((1, 1), (0, 0, 0, 0), 1),
        ((1, 2), (0, 1, 0, 0), 3),
        ((3, 2), (2, 0, 1, 3), 2),
        ((2, 7), (1, 3, 0, 3), 1),
        ((3, 5), (1, 2, 1, 2), 1),
        ((5, 5), (0, 0, 0, 0), 1),
        ((7, 9), (3, 4, 3, 4), 1),
    ],
)
def test_windows(kernel: tuple[int, int], pads: tuple[int, ...], dilation: int) -> None:
    """Numbers of taps around multiples of three, and around the largest for few planes."""
    a = ArtifactBuilder(sum(kernel))
    signs = a.sign("x")
    outs = [
        name
        for stride in (1, 2)
        for name in outputs_of_all_kinds(
            a, signs, 70, 1, 1, kernel=kernel, pads=pads, dilation=dilation, stride=stride
        )
    ]
    model = a.artifact((70, *SIZE), *outs)
    assert "BitSlicedConvolution" in kinds(model)
    assert_equal(model, images(a, 70))


def test_padding_with_ones() -> None:
    a = ArtifactBuilder(5)
    pads = a.constant(np.array([0, 0, 1, 2, 0, 0, 1, 0], np.int64))
    padded = a.add("Pad", a.sign("x"), pads, a.constant(np.uint8(2)))
    outs = outputs_of_all_kinds(a, padded, 80, 1, 1, pads=(0, 1, 1, 0))
    assert_equal(a.artifact((80, *SIZE), *outs), images(a, 80))


@pytest.mark.parametrize(
    ("groups", "inputs", "outputs"),
    [
        (40, 1, 2),
        (5, 1, 3),
        (9, 1, 7),
        (3, 1, 64),
        (12, 2, 3),
        (33, 4, 4),
        (43, 3, 3),
        (7, 4, 31),
        (2, 3, 1),
    ],
)
def test_several_inputs_and_outputs_of_a_group(groups: int, inputs: int, outputs: int) -> None:
    a = ArtifactBuilder(groups)
    signs = a.sign("x")
    outs = [
        name
        for kernel, pads in ((1, (0, 0, 0, 0)), (3, (1, 1, 1, 1)))
        for name in outputs_of_all_kinds(
            a, signs, groups, inputs, outputs, kernel=kernel, pads=pads
        )
    ]
    model = a.artifact((groups * inputs, *SIZE), *outs)
    assert kinds(model).count("BitSlicedConvolution") == 8
    assert_equal(model, images(a, groups * inputs))


@pytest.mark.parametrize(
    ("groups", "inputs", "outputs"),
    [(9, 8, 8), (3, 70, 64), (2, 20, 128), (5, 16, 40), (4, 33, 12)],
)
def test_larger_groups(groups: int, inputs: int, outputs: int) -> None:
    """One step computes all groups where each has whole vectors of channels."""
    a = ArtifactBuilder(groups)
    outs = outputs_of_all_kinds(a, a.sign("x"), groups, inputs, outputs, pads=(1, 1, 1, 1))
    model = a.artifact((groups * inputs, *SIZE), *outs)
    lanes = {"popcount": 8, "lookup": LANES, "panel": 1000}[forms_of_this_cpu().binary]
    each = 4 if outputs % lanes == 0 else 4 * groups
    assert kinds(model).count("Convolution") == each
    assert_equal(model, images(a, groups * inputs))


@pytest.mark.parametrize("outputs", [16, 48, 20])
def test_groups_of_reals(outputs: int) -> None:
    a = ArtifactBuilder(outputs)
    weight = a.constant(a.rng.integers(-9, 10, (3 * outputs, 5, 3, 3)).astype(np.float32))
    bias = a.constant(a.rng.integers(-9, 10, 3 * outputs).astype(np.float32))
    model = a.artifact((15, *SIZE), a.add("Conv", "x", weight, bias, group=3, pads=[1] * 4))
    assert kinds(model).count("Convolution") == (1 if outputs % 16 == 0 else 3)
    assert_equal(model, a.rng.integers(-9, 10, (3, 15, *SIZE)).astype(np.float32))


@pytest.mark.parametrize(("kernel", "is_sliced"), [((15, 16), True), ((16, 16), False)])
def test_more_taps_than_planes_count(kernel: tuple[int, int], *, is_sliced: bool) -> None:
    a = ArtifactBuilder(1)
    outs = outputs_of_all_kinds(a, a.sign("x"), 3, 1, 1, kernel=kernel)
    model = a.artifact((3, 17, 17), *outs)
    assert ("BitSlicedConvolution" in kinds(model)) == is_sliced
    assert_equal(model, images(a, 3, (17, 17)))


@pytest.mark.parametrize("offset", [-9, -8, 0, 9, 10])
def test_thresholds_that_no_sum_or_every_sum_reaches(offset: int) -> None:
    a = ArtifactBuilder(2)
    sums = a.binary_conv2d(a.sign("x"), 64, 64, groups=64, thresholds=False)
    out = a.threshold(sums, np.full((64, 1, 1), offset))
    assert_equal(a.artifact((64, *SIZE), out), images(a, 64))


def test_stochastic_signs() -> None:
    """The sums of a noisy layer are sampled in a step of their own."""
    a = ArtifactBuilder(3)
    noisy = a.stochastic_sign("x", channels=40)
    sums = a.add("Cast", a.binary_conv2d(noisy, 40, 40, groups=40, thresholds=False), to=1)
    model = a.artifact((40, *SIZE), a.stochastic_sign(sums, 0.5, 2.0, channels=40))
    x = images(a, 40)
    sample = Sample(seed=1, index=2)
    want = Reference(model).run(x, sample)[0]
    np.testing.assert_array_equal(Model(model).run_sample(x, sample), want)
