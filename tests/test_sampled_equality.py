"""Stochastic networks: every engine draws the same bits, whatever the batch and the threads."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from artifacts import Array, noisy_digits_like, noisy_real_like

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.operators.functions import function, names
from bnnkit.engines import open_engine
from bnnkit.engines.engine import SamplingEngine
from bnnkit.runtime.open_file import read

SEEDS = (0, 1, 2**32 - 1, 2**32, 2**64 - 1)
SAMPLES = range(10)
EXTREMES = (
    Sample(seed=7, index=2**32 - 1, image_offset=2**32 - 64),
    Sample(seed=7, index=2**32 - 1, image_offset=5, antithetic=True),
)
PAIRS = [(SEEDS[index % len(SEEDS)], index) for index in SAMPLES]
"""Each seed, and each sample."""
OTHER_PAIRS = [pair for pair in product(SEEDS, SAMPLES) if pair not in PAIRS]
SAMPLINGS = [
    *(Sample(seed=seed, index=index) for seed, index in PAIRS),
    *(
        pytest.param(Sample(seed=seed, index=index), marks=pytest.mark.exhaustive)
        for seed, index in OTHER_PAIRS
    ),
    *(Sample(seed=3, index=index, antithetic=True) for index in (0, 1, 6, 7)),
    *EXTREMES,
]
PIECES = (slice(40, 64), slice(0, 1), slice(33, 40), slice(1, 33))
"""All images, in another order and in other batches."""


class Engines:
    """Every engine that draws samples, on one network."""

    def __init__(self, model: Artifact) -> None:
        self.reference = _sampling_engine("reference", model)
        self.others = {
            "onnxruntime": _sampling_engine("onnxruntime", model),
            "bnnkit, 1 thread": _sampling_engine("bnnkit", model),
            "bnnkit, 2 threads": _sampling_engine("bnnkit", model, threads=2),
        }


def _sampling_engine(name: str, model: Artifact, threads: int = 1) -> SamplingEngine:
    engine = open_engine(name, model, threads=threads)
    assert isinstance(engine, SamplingEngine)
    return engine


@pytest.fixture(scope="module", params=[noisy_digits_like, noisy_real_like])
def network(request: pytest.FixtureRequest) -> tuple[Engines, Array]:
    build: Callable[[], tuple[Artifact, Array]] = request.param
    model, images = build()
    model.model.functions.extend(function(name) for name in names())
    return Engines(model), images


def _assert_equal(found: dict[str, Array], expected: dict[str, Array], place: str) -> None:
    assert found
    for name, signs in found.items():
        np.testing.assert_array_equal(signs, expected[name], err_msg=f"{place}: {name}")


@pytest.mark.parametrize("sample", SAMPLINGS, ids=str)
def test_engines_draw_the_same_bits(network: tuple[Engines, Array], sample: Sample) -> None:
    engines, images = network[0], network[1][:7]
    expected = engines.reference.trace(images, sample)
    for name, engine in engines.others.items():
        _assert_equal(engine.trace(images, sample), expected, name)


@pytest.mark.parametrize("sample", [Sample(seed=9, index=3), *EXTREMES], ids=str)
def test_a_piece_of_a_batch_draws_the_bits_of_the_batch(
    network: tuple[Engines, Array], sample: Sample
) -> None:
    engines, images = network
    whole = engines.reference.trace(images, sample)
    for piece in PIECES:
        here = replace(sample, image_offset=sample.image_offset + piece.start)
        expected = {name: signs[piece] for name, signs in whole.items()}
        for name, engine in {"reference": engines.reference, **engines.others}.items():
            _assert_equal(engine.trace(images[piece], here), expected, f"{name}, {piece}")


def test_one_image_draws_the_bits_of_the_batch(network: tuple[Engines, Array]) -> None:
    engines, images = network
    whole = engines.reference.trace(images, Sample(seed=11, index=1))
    for n in (63, 0, 17):
        expected = {name: signs[n : n + 1] for name, signs in whole.items()}
        for name, engine in engines.others.items():
            found = engine.trace(images[n : n + 1], Sample(seed=11, index=1, image_offset=n))
            _assert_equal(found, expected, f"{name}, image {n}")


def test_without_a_sample_there_is_no_noise(network: tuple[Engines, Array]) -> None:
    engines, images = network
    expected = engines.reference.trace(images)
    for name, engine in engines.others.items():
        _assert_equal(engine.trace(images), expected, name)


def test_seeds_samples_images_and_layers_have_noise_of_their_own(
    network: tuple[Engines, Array],
) -> None:
    engines, images = network
    same = images[:1].repeat(8, axis=0)
    first = engines.reference.trace(same, Sample())
    name = next(iter(first))
    assert len(np.unique(first[name].reshape(8, -1), axis=0)) == 8
    for other in (Sample(seed=1), Sample(index=1), Sample(seed=2**32), Sample(image_offset=8)):
        assert (engines.reference.trace(same, other)[name] != first[name]).any()


@pytest.mark.parametrize(
    "config",
    [
        EnsembleConfig(samples=1, seed=5),
        EnsembleConfig(samples=10, seed=5),
        EnsembleConfig(samples=6, seed=2**63, antithetic=True),
        EnsembleConfig(samples="auto", seed=5, error_rate=0.2),
        EnsembleConfig(samples="auto", seed=5, error_rate=0.3, max_samples=7, antithetic=True),
    ],
    ids=str,
)
def test_ensembles_are_those_of_the_reference(
    network: tuple[Engines, Array], config: EnsembleConfig
) -> None:
    engines, images = network
    expected = engines.reference.ensemble(images, config)
    for name, engine in engines.others.items():
        for piece in (slice(0, 64), slice(0, 7), slice(7, 14), slice(30, 31), slice(0, 1)):
            start = piece.start
            found = engine.ensemble(images[piece], config, image_offset=start)
            np.testing.assert_array_equal(found.samples, expected.samples[piece], err_msg=name)
            for part in ("probabilities", "entropy", "mutual_information"):
                np.testing.assert_allclose(
                    getattr(found, part), getattr(expected, part)[piece], rtol=0, atol=1e-5
                )


@pytest.mark.parametrize(
    "pairs", [PAIRS, pytest.param(OTHER_PAIRS, marks=pytest.mark.exhaustive)], ids=["each", "rest"]
)
def test_the_bits_of_a_trained_network(
    digits_run: Path, digits_model: Path, pairs: list[tuple[int, int]]
) -> None:
    """Torch, with the artifact's thresholds, and every engine: five seeds, ten samples."""
    import torch

    from bnnkit import data
    from bnnkit.export import noisy_thresholds
    from bnnkit.training import load_checkpoint
    from bnnkit.verification.torch_trace import TorchTrace

    network = load_checkpoint(digits_run).model
    images = data.load("digits").x_test[:7]
    thresholds = noisy_thresholds(network, torch.from_numpy(images[:1]))
    assert thresholds
    trace = TorchTrace(network, thresholds=thresholds)
    engines = Engines(read(digits_model))
    for seed, index in pairs:
        sample = Sample(seed=seed, index=index, image_offset=100 * index)
        expected = engines.reference.trace(images, sample)
        torch_signs = trace(images, sample).signs
        assert set(torch_signs) == set(trace.paths)
        _assert_equal(torch_signs, expected, f"torch, {sample}")
        for name, engine in engines.others.items():
            _assert_equal(engine.trace(images, sample), expected, f"{name}, {sample}")
