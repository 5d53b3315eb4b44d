"""Probabilities have the same bits on every CPU: kernels, their NumPy twin, and processes."""

import hashlib
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from artifacts import noisy_digits_like
from numpy.typing import NDArray

from bnnkit.artifact.format import probabilities as defined
from bnnkit.artifact.output_kinds import OutputKind
from bnnkit.runtime import Model
from bnnkit.runtime.output_mean import OutputMean
from bnnkit.runtime.steps.probabilities import exponential, sigmoid, softmax

Float = NDArray[np.float32]
STORED = "06ab082e68708321ba1573142388e49604901229a845a6e969da8a91ccb8d177"
"""`digest_of_samples`."""
LIMITS = np.array([-87, float.fromhex("0x1.62e42ep+6")], np.float32)
SPECIAL = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3e38, -3e38], np.float32)


def numbers() -> Float:
    """Numbers of all magnitudes, in the range of the exponential, at its limits, and special."""
    rng = np.random.default_rng(0)
    return np.concatenate(
        [
            rng.integers(0, 2**32, 100_000, dtype=np.uint32).view(np.float32),
            rng.uniform(-90, 90, 100_000).astype(np.float32),
            np.nextafter(LIMITS, np.float32(-np.inf)),
            LIMITS,
            np.nextafter(LIMITS, np.float32(np.inf)),
            SPECIAL,
        ]
    )


@pytest.mark.parametrize(
    ("kernel", "twin"), [(exponential, defined.exponential), (sigmoid, defined.sigmoid)]
)
def test_the_kernels_have_the_bits_of_the_definition(
    kernel: Callable[[Float], Float], twin: Callable[[Float], Float]
) -> None:
    x = numbers()
    for part in (x, x[:1], x[:15], x[-33:].reshape(3, 11)):
        np.testing.assert_array_equal(kernel(part), twin(part))


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5, 10, 15, 16, 17, 1000, 5000])
@pytest.mark.parametrize("size", [1, 100])
def test_the_softmax_has_the_bits_of_the_definition(classes: int, size: float) -> None:
    scores = np.random.default_rng(1).normal(0, size, (9, classes)).astype(np.float32)
    np.testing.assert_array_equal(softmax(scores), defined.softmax(scores))


def test_a_softmax_of_infinities_and_nan() -> None:
    infinity, nan = np.inf, np.nan
    rows = [[1, nan, 2], [infinity, 0, 1], [-infinity] * 3, [-infinity, 0, -infinity]]
    scores = np.array(rows, np.float32)
    np.testing.assert_array_equal(softmax(scores), [[nan] * 3] * 3 + [[0, 1, 0]])
    np.testing.assert_array_equal(defined.softmax(scores), softmax(scores))


def test_the_exponential_is_accurate() -> None:
    x = np.random.default_rng(2).uniform(-87, 88.72, 500_000).astype(np.float32)
    wanted = np.exp(x.astype(np.float64))
    errors = np.abs(exponential(x) - wanted) / np.spacing(wanted.astype(np.float32))
    assert errors.max() < 1  # in units in the last place; 0.97 over all float32


def test_the_softmax_is_accurate() -> None:
    scores = np.random.default_rng(3).normal(0, 5, (200, 1000)).astype(np.float32)
    wide = scores.astype(np.float64)
    wanted = np.exp(wide - wide.max(axis=1, keepdims=True))
    wanted /= wanted.sum(axis=1, keepdims=True)
    found = softmax(scores)
    # Differences of up to 64 are rounded by up to 2^-19, which is relative in the exponential.
    np.testing.assert_allclose(found, wanted, rtol=2.5e-6, atol=0)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-7)
    np.testing.assert_allclose(found.sum(axis=1, dtype=np.float64), 1, rtol=0, atol=1e-6)


def test_a_mean_adds_samples_in_their_order() -> None:
    p = np.random.default_rng(4).dirichlet(np.ones(3), (5, 17)).astype(np.float32)
    parts: dict[OutputKind, Float] = {"scores": p, "log-odds": p[:, :, :1]}
    for kind, part in parts.items():
        totals = [[sum(map(float, column)) / 17 for column in image.T] for image in part]
        found = OutputMean.of_samples(kind, part).mean
        np.testing.assert_array_equal(found, np.array(totals).astype(np.float32))


def digest_of_samples() -> str:
    """The sha256 of ten samples of a fixed network: of mean probabilities, which are exact."""
    artifact, images = noisy_digits_like()
    found = Model(artifact).predict(images, samples=10, seed=1)
    return hashlib.sha256(found.tobytes()).hexdigest()


def test_probabilities_are_those_that_were_stored() -> None:
    """They were computed on x86-64; the same test runs on emulated ARM CPUs (.ci/aarch64)."""
    assert digest_of_samples() == STORED


@pytest.mark.slow
def test_probabilities_do_not_depend_on_numpys_instruction_set() -> None:
    code = "import test_probabilities; print(test_probabilities.digest_of_samples())"
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parent,
            env={**os.environ, "NPY_DISABLE_CPU_FEATURES": disabled},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for disabled in ("", " ".join(dispatched_features()))
    ]
    assert found == [STORED, STORED]


def dispatched_features() -> list[str]:
    """The instruction sets for which NumPy has code beyond its baseline, and that this CPU has."""
    package: Any = importlib.import_module(
        "numpy._core._multiarray_umath"
        if np.__version__ >= "2"
        else "numpy.core._multiarray_umath"
    )
    return [name for name in package.__cpu_dispatch__ if package.__cpu_features__.get(name)]
