"""The stopping rule: its formulas, and how often the class changes after it has stopped."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.errors import UsageError
from bnnkit.runtime.stopping import PRIOR_SCALE, is_safe, upper_tail

Array = NDArray[np.float64]
Population = Callable[[np.random.Generator, int, int], Array]

MOST = 10


def _density(t: Array, degrees: int) -> Array:
    scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)
    size = math.exp(scale) / math.sqrt(degrees * math.pi)
    return np.asarray(size * (1 + t * t / degrees) ** (-(degrees + 1) / 2))


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 8, 9, 30, 101, 1023])
def test_tail_is_the_integral_of_the_density(degrees: int) -> None:
    t = np.array([0.0, 0.3, 1.0, 2.5, 6.0])
    expected = []
    for end in t:  # Simpson's rule from 0
        points = np.linspace(0, end, 2001)
        weights = np.ones(2001)
        weights[1:-1:2], weights[2:-1:2] = 4, 2
        expected.append(0.5 - (weights * _density(points, degrees)).sum() * end / 6000)
    np.testing.assert_allclose(upper_tail(t, degrees), expected, atol=1e-11)
    np.testing.assert_allclose(upper_tail(-t, degrees), 1 - upper_tail(t, degrees), atol=1e-15)


@pytest.mark.parametrize(
    ("degrees", "t"), [(1, 12.706), (2, 4.303), (5, 2.571), (10, 2.228), (30, 2.042)]
)
def test_tail_of_the_printed_tables(degrees: int, t: float) -> None:
    assert upper_tail(np.array([t]), degrees)[0] == pytest.approx(0.025, abs=2e-5)


def _is_safe_by_definition(samples: Array, most: int, error: float) -> bool:
    """One image, (m, K), in plain Python."""
    m, classes = samples.shape
    mean = [sum(samples[i, k] for i in range(m)) / m for k in range(classes)]
    leader, runner_up, *rest = sorted(range(classes), key=lambda k: -mean[k])

    def overtakes(group: list[int]) -> float:
        leads = [samples[i, leader] - sum(samples[i, k] for k in group) for i in range(m)]
        lead = sum(leads) / m
        if m * lead > most - m:
            return 0.0
        variance = (PRIOR_SCALE**2 + sum((x - lead) ** 2 for x in leads)) / m
        t = lead / math.sqrt(variance * (most - m) / (m * most))
        return float(upper_tail(np.array([t]), m)[0])

    each = sum(overtakes([k]) for k in rest)
    together = overtakes(rest) if rest else 0.0
    return overtakes([runner_up]) + min(each, together) <= error


@pytest.mark.parametrize("error", [0.001, 0.05, 0.3])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_safe_is_what_the_definition_says(classes: int, error: float) -> None:
    rng = np.random.default_rng(classes)
    n_safe = 0
    for most in (3, 10, 64):
        for m in (1, 2, 5, 9):
            if m >= most:
                continue
            sharpness = rng.choice([0.05, 0.3, 2.0], (40, 1, 1))
            logits = rng.normal(0, 1, (40, 1, classes)) + 0.4 * rng.normal(0, 1, (40, m, classes))
            samples = _softmax(logits / sharpness)
            found = is_safe(samples, most, error)
            expected = [_is_safe_by_definition(image, most, error) for image in samples]
            np.testing.assert_array_equal(found, expected)
            n_safe += int(found.sum())
    assert 0 < n_safe < 40 * 11


def test_what_cannot_change_is_safe_at_any_level() -> None:
    """Six votes of ten, or a mean lead that leads of -1 cannot undo."""
    votes = np.eye(3)[np.zeros(6, np.int64)][None]
    assert is_safe(votes, MOST, 1e-12).all()
    assert not is_safe(votes[:, :5], MOST, 1e-12).any()  # five others would tie
    assert is_safe(np.full((1, 10, 3), 1 / 3), MOST, 1e-12).all()  # there are no more samples
    assert is_safe(np.ones((2, 1, 1)), MOST, 1e-12).all()  # there is no other class


def test_a_tie_is_not_safe() -> None:
    assert not is_safe(np.full((1, 8, 2), 0.5), MOST, 0.49).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_image_is_safe_whatever_lies_beside_it(dtype: type[np.float32 | np.float64]) -> None:
    rng = np.random.default_rng(5)
    samples = _images(3, 2, 1.0)(rng, 200, 4).astype(dtype)
    together = is_safe(samples, MOST, 0.2)
    assert 0 < together.sum() < 200
    single = [is_safe(samples[i : i + 1], MOST, 0.2)[0] for i in range(200)]
    np.testing.assert_array_equal(together, single)
    turned = np.asfortranarray(samples)
    np.testing.assert_array_equal(is_safe(turned, MOST, 0.2), together)


def test_more_classes_that_do_not_count_change_little() -> None:
    """A thousand classes with no chance fail together: two sure samples stay enough."""
    for classes in (3, 10, 1000):
        samples = np.full((1, 2, classes), 0.02 / (classes - 1))
        samples[:, :, 7 % classes] = 0.98
        assert is_safe(samples, MOST, 0.05).all(), classes


def _softmax(logits: Array) -> Array:
    exponential = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponential / exponential.sum(axis=-1, keepdims=True))


def _images(gap: float, spread: float, noise: float, classes: int = 10) -> Population:
    """A data set: the logit of the right class leads by normal(gap, spread), sampling adds noise.

    With (6, 3.2, 0.9) one sample is right in 86 % and ten in 90 %, as the paper's network on
    CIFAR-10.
    """

    def draw(rng: np.random.Generator, images: int, samples: int) -> Array:
        logits = rng.normal(0, 1, (images, 1, classes))
        logits[..., 0] += rng.normal(gap, spread, (images, 1))
        sizes = noise * np.exp(rng.normal(0, 0.3, (images, 1, 1)))
        return _softmax(logits + sizes * rng.normal(0, 1, (images, samples, classes)))

    return draw


def _one_hard_image(lead: float, noise: float) -> Population:
    """The same image again and again: two classes in doubt, eight hardly."""

    def draw(rng: np.random.Generator, images: int, samples: int) -> Array:
        logits = noise * rng.normal(0, 1, (images, samples, 10))
        logits[..., 0] += lead
        logits[..., 2:] -= 5
        return _softmax(logits)

    return draw


def _votes(rng: np.random.Generator, images: int, samples: int) -> Array:
    """Every sample is certain; the share of the first class is Jeffreys' Beta(1/2, 1/2)."""
    share = rng.beta(0.5, 0.5, (images, 1))
    return np.asarray(np.eye(3)[(rng.random((images, samples)) > share).astype(np.int64)])


def _stopped(samples: Array, error: float) -> tuple[Array, NDArray[np.int64]]:
    """Samples used, and the class then, looking after every two."""
    used = np.full(len(samples), MOST)
    for m in range(MOST - 2, 0, -2):
        used[is_safe(samples[:, :m], MOST, error)] = m  # the earliest is the last to be written
    means = np.stack([samples[:, :m].mean(axis=1) for m in range(1, MOST + 1)], axis=1)
    return used, means[np.arange(len(samples)), used - 1].argmax(axis=1)


@pytest.mark.parametrize("error", [0.01, 0.05, 0.2])
@pytest.mark.parametrize(
    "population",
    [
        _images(6, 3.2, 0.9),
        _images(3, 2, 2.0),
        _images(6, 3.2, 0.9, classes=100),
        *(_one_hard_image(lead, noise) for lead in (0, 0.5, 2) for noise in (0.1, 1, 3, 10)),
        _votes,
    ],
)
def test_the_class_changes_in_fewer_images_than_stated(
    population: Population, error: float
) -> None:
    samples = population(np.random.default_rng(11), 3000, MOST)
    _, classes = _stopped(samples, error)
    changes = np.mean(classes != samples.mean(axis=1).argmax(axis=1))
    assert changes <= error


def test_certain_samples_that_contradict_each_other_are_the_limit() -> None:
    """Every image is one of which half of the samples are certain of either class."""
    rng = np.random.default_rng(13)
    samples = np.eye(3)[rng.integers(0, 2, (20_000, MOST))]
    changes = []
    for error in (0.01, 0.05):
        _, classes = _stopped(samples, error)
        changes.append(np.mean(classes != samples.mean(axis=1).argmax(axis=1)))
    np.testing.assert_allclose(changes, [0.012, 0.13], atol=0.01)


def test_half_of_the_samples_are_enough_for_a_data_set() -> None:
    samples = _images(6, 3.2, 0.9)(np.random.default_rng(12), 10_000, MOST)
    used, classes = _stopped(samples, 0.05)
    assert used.mean() < 0.5 * MOST
    right = [np.mean(found == 0) for found in (classes, samples.mean(axis=1).argmax(axis=1))]
    assert right[1] > np.mean(samples[:, 0].argmax(axis=1) == 0) + 0.03
    assert right[0] == pytest.approx(right[1], abs=0.001)


@pytest.mark.parametrize("error", [0.0, 1.0, -1.0, math.nan, "a"])
def test_an_error_rate_is_a_probability(error: Any) -> None:
    with pytest.raises(UsageError, match="expected error_rate between 0 and 1"):
        EnsembleConfig(error_rate=error)


@pytest.mark.parametrize("samples", [{}, [], None, "many", 2.5, True, -1])
def test_samples_are_a_number_or_auto(samples: Any) -> None:
    with pytest.raises(UsageError, match="expected 0 to 1024 samples, got"):
        EnsembleConfig(samples=samples)


@pytest.mark.parametrize("antithetic", ["yes", 1, None])
def test_antithetic_is_a_flag(antithetic: Any) -> None:
    with pytest.raises(UsageError, match="expected antithetic to be True or False, got"):
        EnsembleConfig(antithetic=antithetic)


def test_a_limit_of_auto_does_not_contradict_a_number() -> None:
    assert EnsembleConfig(samples=20).samples == 20
    with pytest.raises(UsageError, match='expected samples="auto" with max_samples=5, got'):
        EnsembleConfig(samples=20, max_samples=5)


@pytest.mark.parametrize("most", [0, 2.5, True, "5", 1025])
def test_max_samples_is_a_number_of_samples(most: Any) -> None:
    with pytest.raises(UsageError, match="expected max_samples from 1 to 1024"):
        EnsembleConfig(max_samples=most)
