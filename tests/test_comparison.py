"""Comparison of an engine's signs and outputs with the reference, within rounding."""

import numpy as np
import pytest
from artifacts import Array

from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.output_kinds import OutputKind
from bnnkit.artifact.rounding import MARGIN
from bnnkit.errors import CheckpointError
from bnnkit.verification.comparison import BatchResult, Tally


def _evaluation(
    signs: dict[str, Array], scores: Array | None = None, real: dict[str, Array] | None = None
) -> BatchResult:
    n_images = len(next(iter(signs.values())))
    outputs = np.eye(4, dtype=np.float32)[np.arange(n_images) % 4] if scores is None else scores
    return BatchResult(outputs=(outputs,), signs=signs, real=real or {})


def _signs(n_images: int = 3, seed: int = 0) -> Array:
    return np.random.default_rng(seed).choice(np.array([0, 2], np.uint8), (n_images, 2, 3, 3))


def test_equal_evaluations() -> None:
    tally = Tally("engine", ["a", "b"])
    for _ in range(2):
        tally.add(_evaluation({"a": _signs(), "b": _signs(seed=1)}), _evaluation({"a": _signs()}))
    found = tally.comparison()
    assert found.is_equal
    assert (found.n_tensors, found.n_bits) == (1, 2 * 3 * 18)
    assert found.differences == ()


def test_first_difference_is_named_in_the_order_of_the_graph() -> None:
    expected = {"b": _signs(), "a": _signs(seed=1)}
    found = {name: signs.copy() for name, signs in expected.items()}
    found["a"][0, 1, 2, 2] ^= 2
    found["b"][1, 0, 2, 1] ^= 2
    found["b"][2] ^= 2
    tally = Tally("engine", ["b", "a"])
    sample = Sample(seed=5, index=1)
    tally.add(_evaluation(expected), _evaluation(expected))
    tally.add(_evaluation(expected), _evaluation(found), first=3, sample=sample)
    tally.add(_evaluation(expected), _evaluation(found), first=3)
    first, second = tally.comparison().differences
    assert (first.name, first.n_bits, first.n_images) == ("b", 2 * (1 + 18), 2 * 2)
    assert (first.image, first.index) == (3 + 1, (0, 2, 1))
    assert (first.sample, second.sample) == (sample, sample)
    assert first.expected == int(expected["b"][1, 0, 2, 1]) - 1
    assert (second.name, second.image, second.index) == ("a", 3, (1, 2, 2))
    assert not tally.comparison().is_equal


@pytest.mark.parametrize(("margin", "is_excused"), [(0.5 * MARGIN, True), (2 * MARGIN, False)])
def test_rounding_is_excused_within_the_margin(margin: float, is_excused: bool) -> None:
    expected = {"a": _signs(), "b": _signs(seed=1)}
    real = np.where(expected["a"] == 2, 1.0, -1.0)
    found = {name: signs.copy() for name, signs in expected.items()}
    found["a"][1, 0, 0, 0] ^= 2
    real[1, 0, 0, 0] *= margin
    found["b"][1] ^= 2  # what follows from it
    scores = np.tile(np.array([1, 2, 3, 4], np.float32), (3, 1))
    changed = scores.copy()
    changed[1] = [4, 3, 2, 1]
    tally = Tally("engine", ["a", "b"])
    tally.add(_evaluation(expected, scores, {"a": real}), _evaluation(found, changed))
    comparison = tally.comparison()
    assert comparison.is_equal == is_excused
    if is_excused:
        assert (comparison.excused_images, comparison.excused_bits) == (1, 1 + 18)
        assert 0 < comparison.largest_margin <= MARGIN
        assert comparison.n_classes_differ == 0
    else:
        assert [difference.n_bits for difference in comparison.differences] == [1, 18]
        assert comparison.n_classes_differ == 1


def test_rounding_in_one_image_excuses_no_other() -> None:
    expected = {"a": _signs(), "b": _signs(seed=1)}
    real = np.ones(expected["a"].shape)
    real[0, 0, 0, 0] = 0
    found = {name: signs.copy() for name, signs in expected.items()}
    found["a"][0, 0, 0, 0] ^= 2
    found["b"][2, 0, 0, 0] ^= 2
    tally = Tally("engine", ["a", "b"])
    tally.add(_evaluation(expected, real={"a": real}), _evaluation(found))
    (difference,) = tally.comparison().differences
    assert (difference.name, difference.image) == ("b", 2)


@pytest.mark.parametrize(
    ("change", "is_equal"), [(0.9e-4, True), (1.1e-4, False), (np.nan, False), (np.inf, False)]
)
def test_outputs_are_equal_within_the_tolerance(change: float, is_equal: bool) -> None:
    scores = np.zeros((3, 4), np.float32)
    changed = scores.copy()
    changed[2, 0] += change
    tally = Tally("engine", ["a"])
    tally.add(_evaluation({"a": _signs()}, scores), _evaluation({"a": _signs()}, changed))
    assert tally.comparison().is_equal == is_equal


@pytest.mark.parametrize(
    ("kind", "image", "change", "is_equal"),
    [
        ("values", 0, 0.9e-2, True),  # its largest number is 1000
        ("values", 0, 1.1e-2, False),
        ("values", 1, 0.9e-4, True),
        ("values", 1, 1.1e-4, False),  # an outlier in another image loosens nothing
        ("scores", 0, 1.1e-4, False),
        ("log-probabilities", 0, 1.1e-4, False),
    ],
)
def test_only_real_values_are_compared_in_proportion_and_for_each_image_alone(
    kind: OutputKind, image: int, change: float, is_equal: bool
) -> None:
    values = np.zeros((2, 3, 2, 2), np.float64)
    values[0, 0, 0, 0] = -1000
    changed = values.copy()
    changed[image, 2, 1, 1] += change
    for batch in (slice(None), slice(image, image + 1)):
        tally = Tally("engine", ["a"], output_kinds=[kind])
        signs = {"a": _signs(2)[batch]}
        tally.add(_evaluation(signs, values[batch]), _evaluation(signs, changed[batch]))
        assert tally.comparison().is_equal == is_equal


def test_class_must_be_equal() -> None:
    scores = np.array([[0, 0.5e-4, 0, 0]], np.float32)
    tally = Tally("engine", ["a"])
    tally.add(_evaluation({"a": _signs(1)}, scores), _evaluation({"a": _signs(1)}, 0 * scores))
    assert tally.comparison().n_classes_differ == 1
    assert not tally.comparison().is_equal


def test_signs_that_the_model_lacks_are_named() -> None:
    tally = Tally("torch", ["a"])
    tally.add(_evaluation({"a": _signs()}), _evaluation({"a": _signs(), "lost": _signs()}))
    assert tally.comparison().missing == ("lost",)
    assert not tally.comparison().is_equal


def test_signs_that_an_engine_does_not_give_are_named() -> None:
    expected = {"a": _signs(), "b": _signs(seed=1), "c": _signs(seed=2)}
    tally = Tally("engine", ["a", "b", "c"], {"a", "b"})
    tally.add(_evaluation(expected), _evaluation({"a": _signs(), "b": _signs(seed=1)}))
    assert tally.comparison().is_equal
    assert tally.comparison().not_in_memory == ("c",)
    tally.add(_evaluation(expected), _evaluation({"a": _signs()}))  # one batch is enough
    found = tally.comparison()
    assert (found.uncovered, found.not_in_memory) == (("b",), ("c",))
    assert not found.is_equal


def test_signs_of_another_shape_are_another_network() -> None:
    tally = Tally("torch", ["a"])
    with pytest.raises(CheckpointError, match=r"'a' have shape \(2, 3\) in torch and \(2, 3, 3\)"):
        tally.add(_evaluation({"a": _signs()}), _evaluation({"a": _signs()[..., 0]}))
