"""Matrix products of signs that are packed as they lie in memory, against the reference."""

import numpy as np
import pytest
from against_reference import assert_equal, kinds
from artifacts import Array, ArtifactBuilder
from onnx import TensorProto

from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.reference import Reference
from bnnkit.runtime import Model
from bnnkit.runtime.lowering import moved_signs
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.steps.products import PackLines
from bnnkit.runtime.steps.real import NumpyOperator


def tokens(a: ArtifactBuilder) -> str:
    """Append signs of a map (C, 1, T), and return them as tokens (T, C)."""
    signs = a.sign(a.add("Sub", "x", a.constant(np.float32(0.25))))
    last = a.add("Transpose", signs, perm=[0, 2, 3, 1])
    return a.add("Squeeze", last, a.constant(np.array([1])))


def in_heads(a: ArtifactBuilder, signs: str, shape: tuple[int, ...], perm: list[int]) -> str:
    """Append the split of tokens into heads: (T, A, C) with its axes moved."""
    return a.add(
        "Transpose", a.add("Reshape", signs, a.constant(np.array([-1, *shape]))), perm=perm
    )


def maps(a: ArtifactBuilder, *shape: int) -> Array:
    """Inputs for three images."""
    return a.rng.standard_normal((3, *shape)).astype(np.float32)


@pytest.mark.parametrize("n_heads", [1, 3])
@pytest.mark.parametrize("channels", [5, 8, 63, 64, 65, 130])
@pytest.mark.parametrize("n_tokens", [1, 7, 64, 70])
def test_lines_of_heads(n_tokens: int, channels: int, n_heads: int) -> None:
    """Scores of channels, and sums over tokens, for heads of any size, at any bit of a word."""
    a = ArtifactBuilder(channels)
    signs = tokens(a)
    shape = (n_tokens, n_heads, channels)
    rows = in_heads(a, signs, shape, [0, 2, 1, 3])
    columns = in_heads(a, signs, shape, [0, 2, 3, 1])
    scores = a.add("bnnkit.BinaryMatMul", rows, columns)
    among_channels = a.add("bnnkit.BinaryMatMul", columns, rows)
    attends = a.sign(a.add("Cast", scores, to=TensorProto.FLOAT))
    attended = a.add("bnnkit.BinaryMatMul", attends, rows)
    axis = a.constant(np.array([-2]))
    sums = a.add("ReduceSum", a.to_real(rows), axis, keepdims=1)
    model = a.artifact((channels * n_heads, 1, n_tokens), scores, among_channels, attended, sums)
    assert_equal(model, maps(a, channels * n_heads, 1, n_tokens))
    found = kinds(model)
    # NumPy computes the Sub of the input.
    assert (found.count("SignProduct"), found.count("NumpyOperator")) == (4, 1)


def test_signs_that_are_read_by_others_too() -> None:
    """Here as real numbers, and as an output of the network."""
    a = ArtifactBuilder()
    rows = in_heads(a, tokens(a), (6, 2, 4), [0, 2, 1, 3])
    columns = a.add("Transpose", rows, perm=[0, 1, 3, 2])
    scores = a.add("bnnkit.BinaryMatMul", rows, columns)
    twice = a.add("Add", a.to_real(columns), a.to_real(columns))
    model = a.artifact((8, 1, 6), scores, twice, rows)
    assert_equal(model, maps(a, 8, 1, 6))
    assert "PackLines" in kinds(model)


def test_signs_in_another_order_are_packed_by_numpy() -> None:
    """The channels of a head do not lie beside each other: (T, C, A), not (T, A, C)."""
    a = ArtifactBuilder()
    rows = in_heads(a, tokens(a), (6, 4, 2), [0, 3, 1, 2])
    columns = a.add("Transpose", rows, perm=[0, 1, 3, 2])
    model = a.artifact((8, 1, 6), a.add("bnnkit.BinaryMatMul", rows, columns))
    assert_equal(model, maps(a, 8, 1, 6))
    steps = Plan(model.graph).steps
    assert not any(isinstance(step, PackLines) for step in steps)
    assert any(isinstance(step, NumpyOperator) for step in steps)


def test_a_map_with_a_margin_is_packed_without_it() -> None:
    """A convolution with padding reads the same signs."""
    a = ArtifactBuilder()
    x = a.sign(a.add("Sub", "x", a.constant(np.float32(0.25))))
    other = a.binary_conv2d(x, 70, 16, pads=(1, 1, 1, 1), thresholds=False)
    flat = a.add("Reshape", x, a.constant(np.array([-1, 70, 12])))
    columns = a.add("Transpose", flat, perm=[0, 2, 1])
    products = [a.add("bnnkit.BinaryMatMul", *pair) for pair in ((flat, columns), (columns, flat))]
    model = a.artifact((70, 3, 4), other, *products)
    assert_equal(model, maps(a, 70, 3, 4))
    assert kinds(model).count("PackLines") == 4


@pytest.mark.parametrize("shape", [(3, 2, 2, 16), (12, 16)], ids=str)
@pytest.mark.parametrize("is_chain", [False, True])
def test_signs_of_a_view_with_other_pixels(shape: tuple[int, ...], is_chain: bool) -> None:
    """The step that computes tokens cannot pack the signs of their heads, which are a view."""
    a = ArtifactBuilder()
    one = a.constant(np.ones(32, np.float32))
    real = a.add("LayerNormalization", a.add("Abs", "x"), one, axis=-1)
    if is_chain:
        real = a.add("Mul", a.add("Add", real, real), a.constant(np.float32(0.5)))
    of_heads = a.add("Reshape", real, a.constant(np.array([-1, *shape])))
    model = a.artifact((6, 32), a.sign(of_heads))
    assert_equal(model, maps(a, 6, 32))
    assert "PackSigns" in kinds(model)


def test_signs_of_large_maps_are_moved_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file may ask for many moves of a large map, whose places take 64 bits each."""
    monkeypatch.setattr(moved_signs, "_MOST", 8 * 6 - 1)
    a = ArtifactBuilder()
    rows = in_heads(a, tokens(a), (6, 2, 4), [0, 2, 1, 3])
    columns = a.add("Transpose", rows, perm=[0, 1, 3, 2])
    model = a.artifact((8, 1, 6), a.add("bnnkit.BinaryMatMul", rows, columns), rows)
    assert_equal(model, maps(a, 8, 1, 6))
    assert "PackLines" not in kinds(model)


def test_noisy_signs_of_noisy_scores() -> None:
    """The scores are copied to a map for each sample."""
    a = ArtifactBuilder()
    signs = a.stochastic_sign(a.add("Sub", "x", a.constant(np.float32(0.25))), channels=8)
    last = a.add("Transpose", signs, perm=[0, 2, 3, 1])
    rows = in_heads(a, a.add("Squeeze", last, a.constant(np.array([1]))), (6, 2, 4), [0, 2, 1, 3])
    columns = a.add("Transpose", rows, perm=[0, 1, 3, 2])
    scores = a.add("bnnkit.BinaryMatMul", rows, columns)
    attends = a.stochastic_sign(a.add("Cast", scores, to=TensorProto.FLOAT), channels=2)
    model, x = a.artifact((8, 1, 6), a.to_real(attends)), maps(a, 8, 1, 6)
    for index in (0, 1):
        sample = Sample(index=index)
        (want,) = Reference(model).run(x, sample)
        np.testing.assert_array_equal(Model(model).run_sample(x, sample), want)
