from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from artifacts import Array, ArtifactBuilder, digits_like, noisy_digits_like

import bnnkit.runtime
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.probabilities import exponential
from bnnkit.artifact.reference import Reference
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.runtime import EnsembleConfig, Model, load


def test_signs_and_scores_are_the_references(tmp_path: Path) -> None:
    model, images = digits_like()
    onnx.save(model.model, tmp_path / "model.onnx")
    loaded, reference = load(tmp_path / "model.onnx"), Reference(model)
    np.testing.assert_allclose(loaded.run(images), reference.run(images)[0], atol=1e-4)
    want, got = reference.trace(images), loaded.trace(images)
    assert set(got) <= set(want)
    assert len(got) >= 4
    for name, signs in got.items():
        np.testing.assert_array_equal(signs, want[name])


def test_every_sign_that_reaches_memory_is_traced() -> None:
    """Padding costs nothing, and signs before a 2x2 maximum are not kept."""
    model, images = digits_like()
    kinds = {node.output[0]: node.op_type for node in model.model.graph.node}
    pooled = next(node.input[0] for node in model.model.graph.node if node.op_type == "MaxPool")
    want = {name for name in model.signs if kinds[name] != "Pad"} - {pooled}
    assert set(Model(model).trace(images)) == want


@pytest.mark.parametrize("batch", [1, 3, 64, 65, 200])
def test_any_batch_gives_the_same_rows(batch: int) -> None:
    model, images = digits_like()
    loaded = Model(model)
    many = np.resize(images, (batch, 1, 8, 8))
    want = np.resize(loaded.run(images), (batch, 10))
    np.testing.assert_array_equal(loaded.run(many), want)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_any_number_of_threads_gives_the_same_bits(threads: int) -> None:
    model, images = digits_like()
    loaded = Model(model)
    np.testing.assert_array_equal(loaded.run(images, threads=threads), loaded.run(images))


def test_concurrent_callers_do_not_disturb_each_other() -> None:
    model, images = digits_like()
    loaded = Model(model)
    want = loaded.run(images)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda k: loaded.run(images, threads=1 + k % 2), range(40)):
            np.testing.assert_array_equal(got, want)


def _scores_in_child(model: bytes, images: Array) -> Array:
    return np.asarray(Model(Artifact(onnx.load_from_string(model))).run(images, threads=2))


def test_a_forked_child_can_use_threads_again() -> None:
    model, images = digits_like()
    want = Model(model).run(images, threads=2)
    with get_context("fork").Pool(1) as pool:
        result = pool.apply_async(_scores_in_child, (model.model.SerializeToString(), images))
        np.testing.assert_array_equal(result.get(timeout=60), want)


def test_an_output_is_not_overwritten_by_the_next_run() -> None:
    model, images = digits_like()
    loaded = Model(model)
    first = loaded.run(images[:1])
    copy = np.array(first)
    loaded.run(images[1:2])
    np.testing.assert_array_equal(first, copy)


def test_inputs_need_not_be_contiguous() -> None:
    model, images = digits_like()
    loaded = Model(model)
    want = loaded.run(np.ascontiguousarray(images[::-2, :, ::-1]))
    np.testing.assert_array_equal(loaded.run(images[::-2, :, ::-1]), want)


def test_probabilities_are_the_softmax() -> None:
    model, images = digits_like()
    loaded = Model(model)
    scores = np.asarray(loaded.run(images), np.float64)
    want = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(loaded.predict(images), want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("last", ["Softmax", "LogSoftmax"])
def test_a_network_that_ends_in_probabilities(last: str) -> None:
    a = ArtifactBuilder(1)
    model = a.artifact((6,), a.add(last, a.gemm("x", 6, 4)))
    x = a.rng.standard_normal((3, 6)).astype(np.float32)
    loaded = Model(model)
    want = loaded.run(x) if last == "Softmax" else exponential(np.asarray(loaded.run(x)))
    np.testing.assert_array_equal(loaded.predict(x), want)


def test_several_outputs_are_a_tuple() -> None:
    a = ArtifactBuilder(2)
    model = a.artifact((6,), a.sign("x"), a.gemm("x", 6, 4))
    signs, scores = Model(model).run(np.ones((2, 6), np.float32))
    assert signs.dtype == np.uint8
    assert scores.shape == (2, 4)


def test_rarer_operators() -> None:
    """Dropout does nothing, Gather and Squeeze move, DequantizeLinear scales other codes."""
    a = ArtifactBuilder(3)
    dropped = a.add("Dropout", "x")
    squeezed = a.add(
        "Squeeze",
        a.add("Gather", dropped, a.constant(np.array([1])), axis=1),
        a.constant(np.array([1])),
    )
    codes = a.add("Cast", a.add("Abs", "x"), to=2)
    real = a.add("DequantizeLinear", codes, a.constant(np.float32(0.5)), a.constant(np.uint8(3)))
    x = np.array([[[1, -4], [7, 2]]], np.float32)
    got, scaled = Model(a.artifact((2, 2), squeezed, real)).run(x)
    np.testing.assert_array_equal(got, [[7, 2]])
    np.testing.assert_array_equal(scaled, [[[-1, 0.5], [2, -0.5]]])


BAD_INPUTS: list[tuple[Any, str]] = [
    ([[1]], r"expected uint8 of shape \(N, 1, 8, 8\) in a NumPy array, got list"),
    (
        np.zeros((1, 8, 8), np.uint8),
        r"expected uint8 of shape \(N, 1, 8, 8\), got uint8 of shape \(1, 8, 8\)",
    ),
    (np.zeros((2, 1, 9, 8), np.uint8), r"got uint8 of shape \(2, 1, 9, 8\)"),
    (np.zeros((2, 1, 8, 8), np.float32), r"got float32"),
    (np.zeros((0, 1, 8, 8), np.uint8), r"with N at least 1, got no images"),
]


@pytest.mark.parametrize(("images", "message"), BAD_INPUTS)
def test_wrong_input_is_named(images: Any, message: str) -> None:
    loaded = Model(digits_like()[0])
    with pytest.raises(UsageError, match=message):
        loaded.run(images)
    with pytest.raises(UsageError, match=message):
        loaded.predict(images)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_named(bad: float) -> None:
    a = ArtifactBuilder(4)
    loaded = Model(a.artifact((6,), a.gemm("x", 6, 4)))
    x = np.zeros((2, 6), np.float32)
    x[1, 3] = bad
    with pytest.raises(UsageError, match=r"expected finite numbers, got (nan|inf) .*\[1, 3\]"):
        loaded.run(x)


@pytest.mark.parametrize("threads", [0, -1, 257, 1.5])
def test_a_number_of_threads_that_cannot_be(threads: Any) -> None:
    model, images = digits_like()
    with pytest.raises(UsageError, match=f"expected 1 to 256 threads, got {threads}"):
        Model(model).run(images, threads=threads)


def test_a_deterministic_file_has_no_samples() -> None:
    model, images = digits_like()
    with pytest.raises(UsageError, match="the file is deterministic: expected samples=0, got 10"):
        Model(model).predict(images, samples=10)


def test_an_unknown_operator_is_named_with_its_node() -> None:
    a = ArtifactBuilder(5)
    model = a.artifact((6,), a.add("Hardmax", "x"))
    with pytest.raises(UnsupportedError, match="node 'Hardmax0' is a Hardmax"):
        Model(model)


def test_a_kernel_larger_than_its_input_is_named() -> None:
    a = ArtifactBuilder(6)
    model = a.artifact((3, 4, 4), a.binary_conv2d(a.sign("x"), 3, 8, 5))
    with pytest.raises(UnsupportedError, match=r"BinaryConv2dThreshold1.*larger than its input"):
        Model(model)


def test_the_former_name_of_the_ensembles_configuration_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="Averaging is now EnsembleConfig"):
        former = bnnkit.runtime.Averaging
    assert former(samples=3, seed=1) == EnsembleConfig(samples=3, seed=1)
    with pytest.warns(DeprecationWarning, match="is now") as warned:
        config = former(samples="auto", most=4, error=0.1)
    assert config == EnsembleConfig(samples="auto", max_samples=4, error_rate=0.1)
    assert {str(warning.message) for warning in warned} == {
        "most is now max_samples",
        "error is now error_rate",
    }
    assert {warning.filename for warning in warned} == {__file__}
    with pytest.raises(AttributeError, match="no attribute 'Average'"):
        bnnkit.runtime.Average  # noqa: B018


def test_the_former_keywords_of_predict_still_work() -> None:
    artifact, images = noisy_digits_like()
    model, predict = Model(artifact), cast(Any, Model.predict)
    expected = model.predict(images, samples="auto", max_samples=4, error_rate=0.1)
    with pytest.warns(DeprecationWarning, match="is now"):
        found = predict(model, images, samples="auto", most_samples=4, error=0.1)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(TypeError, match="got both error_rate and error, its former name"):
        predict(model, images, error=0.1, error_rate=0.1)
