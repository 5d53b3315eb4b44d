"""A NaN inside a network: below every threshold, and kept by what chooses, in every engine."""

from collections.abc import Callable

import numpy as np
import onnxruntime as ort
import pytest
from artifacts import Array, ArtifactBuilder

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.operators import functions
from bnnkit.artifact.reference import Reference
from bnnkit.runtime import Model

SIZE = (6, 7)
CHANNELS = pytest.mark.parametrize("channels", [1, 5, 8, 33, 64, 70])
Step = Callable[[ArtifactBuilder, str], str]

STEPS: dict[str, Step] = {
    # A sign follows each.
    "nothing": lambda a, x: x,
    "Relu": lambda a, x: a.add("Relu", x),
    "LeakyRelu": lambda a, x: a.add("LeakyRelu", x, alpha=0.3),
    "Clip": lambda a, x: a.add("Clip", x, *(a.constant(np.float32(n)) for n in (-1, 1))),
    "Max": lambda a, x: a.add("Max", x, a.constant(np.float32(0.5))),
    "Min": lambda a, x: a.add("Min", x, a.constant(np.float32(0.5))),
    "Round": lambda a, x: a.add("Round", x),
    "Add": lambda a, x: a.add("Add", x, a.constant(np.float32(1))),
    "AveragePool": lambda a, x: a.add("AveragePool", x, kernel_shape=[2, 2], pads=[1, 1, 0, 0]),
    "Softmax": lambda a, x: a.add("Softmax", x, axis=1),
    "MaxPool": lambda a, x: a.add("MaxPool", x, kernel_shape=[2, 2]),
    "padded MaxPool": lambda a, x: a.add("MaxPool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "GlobalMaxPool": lambda a, x: a.add("GlobalMaxPool", x),
    "ReduceMax": lambda a, x: a.add("ReduceMax", x, a.constant(np.array([1]))),
}
MAXIMA = {"MaxPool", "padded MaxPool", "GlobalMaxPool", "ReduceMax"}
"""Operators whose result in ONNX Runtime depends on where in a window the NaN is."""


def numbers(a: ArtifactBuilder, channels: int) -> Array:
    x: Array = a.rng.standard_normal((3, channels, *SIZE)).astype(np.float32)
    x[1] = -1  # a blank image
    x[:, ::2, 2:] = np.abs(x[:, ::2, 2:])
    return x


def roots(a: ArtifactBuilder) -> str:
    """Return square roots, NaN where x is negative."""
    return a.add("Sqrt", a.add("Mul", "x", a.constant(np.float32(2))))


def by_onnxruntime(model: Artifact, x: Array) -> list[Array]:
    session = ort.InferenceSession(model.to_bytes(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": x}))


@pytest.mark.parametrize("channels", [5, 64])
@pytest.mark.parametrize("step", STEPS)
def test_signs_of_nan_are_the_same_everywhere(step: str, channels: int) -> None:
    a = ArtifactBuilder(channels)
    real = STEPS[step](a, roots(a))
    signs = a.sign(real)
    bodies = [functions.function("Sign")]
    model = a.artifact((channels, *SIZE), real, signs, functions=bodies)
    x = numbers(a, channels)
    found, found_signs = Model(model).run(x)
    with np.errstate(all="ignore"):
        wanted, wanted_signs = Reference(model).run(x)
    assert np.isnan(wanted).any()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    np.testing.assert_array_equal(found_signs, np.where(found >= 0, 2, 0))
    np.testing.assert_array_equal(found_signs, wanted_signs)
    if step not in MAXIMA:
        np.testing.assert_array_equal(by_onnxruntime(model, x)[1], wanted_signs)


@CHANNELS
def test_bits_behind_the_last_channel_stay_clear(channels: int) -> None:
    """A binary layer counts whole words, so a NaN there would change its sums."""
    a = ArtifactBuilder(channels)
    sums = a.binary_conv2d(a.sign(roots(a)), channels, 9, 3, pads=(1, 1, 1, 1), thresholds=False)
    model = a.artifact((channels, *SIZE), sums)
    x = numbers(a, channels)
    with np.errstate(all="ignore"):
        (wanted,) = Reference(model).run(x)
    np.testing.assert_array_equal(Model(model).run(x), wanted)


@CHANNELS
@pytest.mark.parametrize("sample", [None, Sample(seed=3, index=1)])
def test_noisy_signs_of_nan(channels: int, sample: Sample | None) -> None:
    a = ArtifactBuilder(channels)
    signs = a.stochastic_sign(roots(a), channels=channels)
    model = a.artifact((channels, *SIZE), signs)
    x = numbers(a, channels)
    with np.errstate(all="ignore"):
        (wanted,) = Reference(model).run(x, sample)
    loaded = Model(model)
    found = loaded.run(x) if sample is None else loaded.run_sample(x, sample)
    np.testing.assert_array_equal(found, wanted)
    assert (wanted[x < 0] == 0).all()


def test_torch_s_signs_of_nan_are_minus_one() -> None:
    torch = pytest.importorskip("torch")
    from bnnkit.nn import Sign

    layer = Sign(noise="logistic").eval()
    with torch.no_grad():
        assert layer(torch.tensor([[float("nan"), -0.0, 1.0]])).tolist() == [[-1.0, 1.0, 1.0]]


def test_the_first_nan_is_the_largest_and_the_smallest() -> None:
    a = ArtifactBuilder()
    root = roots(a)
    model = a.artifact((4,), a.add("ArgMax", root, axis=1), a.add("ArgMin", root, axis=1))
    x = np.array([[1, -1, 4, -1], [2, 1, 0, 3]], np.float32)
    largest, smallest = Model(model).run(x)
    assert largest.tolist() == [[1], [3]]
    assert smallest.tolist() == [[1], [2]]
    with np.errstate(all="ignore"):
        wanted = Reference(model).run(x)
    np.testing.assert_array_equal(largest, wanted[0])
    np.testing.assert_array_equal(smallest, wanted[1])
