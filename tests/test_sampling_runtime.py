"""The runtime's own part of sampling: lines for quantiles, ties, shared work, bad numbers."""

import math
import threading
from typing import Any

import numpy as np
import onnx
import pytest
from artifacts import SAMPLING, Array, ArtifactBuilder, noisy_digits_like
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.artifact.format.sample import MOST_SAMPLES, Sample
from bnnkit.artifact.reference import Reference
from bnnkit.errors import ArtifactError, UnsupportedError, UsageError
from bnnkit.runtime.kernels.philox import ROUNDS
from bnnkit.runtime.memory.philox_counters import PhiloxCounters
from bnnkit.runtime.memory.quantiles import Quantiles, line_of
from bnnkit.runtime.model import Model
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.quantity import quantity

TABLES = {
    "steps": np.repeat(np.arange(-8, 8), 256) / 4,
    "one value": np.full(4096, 0.5),
    "zeros": np.zeros(4096),
    "not symmetric": np.exp(np.linspace(-20, 3, 4096)),
    "cauchy": np.tan(np.pi * ((np.arange(4096) + 0.5) / 4096 - 0.5)),
    "steep middle": np.clip((np.arange(4096) - 2047.5) / 31.5, -1, 1) * 2.075,
    "step in the middle": np.sign(np.arange(4096) - 2047.5) * 2.0,
    "tiny": (np.arange(4096) - 2047.5) * 1e-44,
}


def _worst(table: Array) -> Array:
    """How far each quantile is from its line, less what is admitted."""
    lines = Quantiles(table).lines
    worst = []
    for i, quantile in enumerate(table.tolist()):
        q = 8 * (2 * i - 4095)
        v = 33280 - abs(q)
        mantissa, exponent = math.frexp(v)  # v = mantissa * 2^exponent, mantissa in [1/2, 1)
        line = ((exponent - 1 + 127) * 4 + int((mantissa * 2 - 1) * 4)) % 32
        start, slope, error = lines[:, line].tolist()
        size = float(np.float32(start + slope * v))  # exact before it is rounded once
        worst.append(abs(math.copysign(size, q) - quantile) - error)
    return np.array(worst)


@pytest.mark.parametrize("name", TABLES)
def test_no_quantile_is_further_from_its_line_than_the_line_admits(name: str) -> None:
    assert _worst(TABLES[name].astype(np.float32)).max() <= 0


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 4), st.floats(-3, 3))
def test_lines_admit_their_errors_for_any_table(seed: int, power: float, shift: float) -> None:
    steps = np.random.default_rng(seed).exponential(size=4096) ** power
    table = np.cumsum(steps) / steps.sum() * 6 - 3 + shift
    assert _worst(table.astype(np.float32)).max() <= 0


def test_lines_are_close_to_the_quantiles_of_the_noises() -> None:
    p = (np.arange(4096) + 0.5) / 4096
    for table, most in ((np.log(p / (1 - p)) / 2, 2e-3), (2 * p - 1, 2e-6)):
        lines = Quantiles(table.astype(np.float32)).lines
        assert np.median(lines[2, line_of(np.arange(4096))]) < most


def _with_law(
    table: Array, threshold: Array, scale: Array, *, maps: bool = True
) -> tuple[Artifact, Array]:
    """One noisy sign of sums of 75 channels behind another one, and inputs."""
    a = ArtifactBuilder(3)
    first = a.stochastic_sign("x", channels=40, maps=maps)
    sums = (
        a.binary_conv2d(first, 40, 75, pads=(1, 1, 1, 1), thresholds=False)
        if maps
        else a.binary_linear(first, 40, 75)
    )
    a.constants.append(numpy_helper.from_array(table.astype(np.float32), "noise.odd"))
    law = [
        np.broadcast_to(x, 75).reshape((75, 1, 1) if maps else (75,)) for x in (threshold, scale)
    ]
    operands = [a.constant(x.astype(np.float32)) for x in law]
    order = ("seed", "image_offset", "sample", "antithetic")
    real = a.add("Cast", sums, to=TensorProto.FLOAT)
    noisy = a.add("bnnkit.StochasticSign", real, *operands, "noise.odd", *order, layer=1)
    size = (40, 6, 7) if maps else (40,)
    out = a.to_real(noisy)
    model = a.artifact(size, out, sizes={out: (75, *size[1:])})
    return model, a.rng.standard_normal((3, *size)).astype(np.float32)


LAWS = {
    # r z is a whole number for every quantile: each sum lies on its threshold for some of them
    "ties": (2 * ((np.arange(4096) + 0.5) / 4096) - 1, 1.0, 4096.0),
    "ties of two": (TABLES["steps"], np.arange(75) - 37, 4.0),
    "hardly any noise": (TABLES["cauchy"], np.arange(75) - 37.5, 2.0**-64),
    "steep middle": (TABLES["steep middle"], np.arange(75) - 37.5, 6.0),
    "step in the middle": (TABLES["step in the middle"], np.arange(75) - 37, 1.0),
    "nothing but noise": (TABLES["cauchy"], 0.0, 2.0**64),
    "never": (TABLES["steps"], 3e38, 1.0),
    "overflow": (TABLES["cauchy"] * 1e30, -3e38, 2.0**64),
    "one value": (TABLES["one value"], np.arange(75) - 40, 6.0),
    "not symmetric": (TABLES["not symmetric"], -20.0, 5.0),
}


@pytest.mark.parametrize("maps", [True, False], ids=["maps", "vectors"])
@pytest.mark.parametrize("name", LAWS)
def test_signs_on_their_thresholds_are_those_of_the_reference(name: str, maps: bool) -> None:
    table, threshold, scale = LAWS[name]
    model, x = _with_law(table, np.asarray(threshold), np.asarray(scale), maps=maps)
    runtime, reference = Model(model), Reference(model)
    for sample in (Sample(seed=5), Sample(seed=5, index=3, antithetic=True)):
        with np.errstate(over="ignore"):
            expected = reference.trace(x, sample)
        for signs, found in runtime.trace(x, sample=sample).items():
            np.testing.assert_array_equal(found, expected[signs], err_msg=signs)


def scores_of(runtime: Model, images: Array, sample: Sample) -> Array:
    """Of one sample, by a network with one output."""
    scores = runtime.run_sample(images, sample)
    assert isinstance(scores, np.ndarray)
    return scores


def test_what_does_not_depend_on_the_noise_is_computed_once() -> None:
    model, _ = noisy_digits_like()
    plan = Plan(model.graph)
    shared = [step for step in plan.steps if step.target not in plan.noise_dependent]
    assert [step.name for step in shared] == ["IntegerConv2d0", "IntegerConv2d0"]
    assert len(plan.steps) > len(shared)


def test_an_ensemble_is_the_mean_of_its_samples() -> None:
    model, images = noisy_digits_like()
    runtime = Model(model)
    samples = [
        quantity("scores", scores_of(runtime, images, Sample(seed=4, index=index)))
        for index in range(7)
    ]
    ensemble = runtime.ensemble(images, EnsembleConfig(samples=7, seed=4))
    np.testing.assert_array_equal(
        ensemble.probabilities, np.mean(samples, axis=0, dtype=np.float64).astype(np.float32)
    )
    assert (ensemble.samples == 7).all()
    assert (ensemble.mutual_information > 0).all()
    assert (ensemble.mutual_information <= ensemble.entropy).all()


def test_an_adaptive_ensemble_is_the_fixed_one_of_as_many_samples() -> None:
    model, images = noisy_digits_like()
    runtime = Model(model)
    found = runtime.ensemble(
        images, EnsembleConfig(samples="auto", seed=4, error_rate=0.3, max_samples=9)
    )
    used = np.unique(found.samples)
    assert len(used) > 1
    assert set(used) <= {2, 4, 6, 8, 9}
    for samples in used.tolist():
        fixed = runtime.ensemble(images, EnsembleConfig(samples=samples, seed=4))
        here = found.samples == samples
        np.testing.assert_array_equal(found.probabilities[here], fixed.probabilities[here])
        np.testing.assert_array_equal(found.entropy[here], fixed.entropy[here])


def test_a_deterministic_pass_is_an_ensemble_without_samples() -> None:
    model, images = noisy_digits_like()
    found = Model(model).ensemble(images, EnsembleConfig())
    assert not found.samples.any()
    assert not found.mutual_information.any()
    assert (found.entropy > 0).all()


def _with_weight_draws(draws: int) -> tuple[Artifact, Array]:
    """Two dense layers with stored draws of their weights, and inputs; 8-bit real-valued first."""
    a = ArtifactBuilder(1)
    packed = a.rng.integers(0, 256, (2, 1 + draws, 50 * 64 // 8)).astype(np.uint8)
    signs = a.sign("x")
    for rows in packed:
        weight = a.add("bnnkit.WeightDraw", a.constant(rows), "sample")
        sums = a.add("bnnkit.BinaryLinear", signs, weight, weight_shape=[50, 64])
        signs = a.threshold(sums, a.rng.integers(-9, 9, 50))
        signs = a.add(
            "Concat", signs, a.add("Slice", signs, *(a.constant([n]) for n in (0, 14, 1))), axis=1
        )
    scores = a.gemm(a.to_real(signs), 64, 5)
    model = a.artifact((64,), scores, sizes={scores: (5,)})
    if not any(value.name == "sample" for value in model.model.graph.input):
        model.model.graph.input.append(
            onnx.helper.make_tensor_value_info("sample", TensorProto.INT64, [])
        )
        model.model.graph.initializer.append(numpy_helper.from_array(SAMPLING["sample"], "sample"))
    return model, a.rng.standard_normal((9, 64)).astype(np.float32)


def test_each_sample_has_its_stored_draw_of_the_weights() -> None:
    model, x = _with_weight_draws(3)
    runtime, reference = Model(model), Reference(model)
    found = []
    for index in range(4):
        sample = Sample(index=index)
        expected = reference.trace(x, sample)
        for signs, values in runtime.trace(x, sample=sample).items():
            np.testing.assert_array_equal(values, expected[signs])
        found.append(scores_of(runtime, x, sample))
    np.testing.assert_array_equal(found[0], found[3])
    assert (found[0] != found[1]).any()
    most_probable = reference.run(x)[0]
    np.testing.assert_allclose(runtime.run(x), most_probable, atol=1e-5)
    mean = np.mean([quantity("scores", found[i % 3]) for i in range(5)], axis=0)
    np.testing.assert_allclose(runtime.predict(x, samples=5), mean, atol=1e-6)


def test_callers_do_not_disturb_each_other() -> None:
    model, images = noisy_digits_like()
    runtime = Model(model)
    calls: list[dict[str, Any]] = [
        {"samples": 3, "seed": 1, "threads": 2},
        {"samples": 3, "seed": 2, "threads": 2},
        {"samples": 3, "seed": 2, "antithetic": True},
        {"samples": "auto", "seed": 3, "error_rate": 0.3, "threads": 2},
        {"samples": 7, "seed": 4},
        {"samples": 0},
    ]
    counts = (64, 9, 64, 30, 1, 64)
    expected = [runtime.predict(images[:n], **c) for n, c in zip(counts, calls, strict=True)]
    found: dict[int, Array] = {}

    def call(number: int) -> None:
        for _ in range(5):
            found[number] = runtime.predict(images[: counts[number]], **calls[number])

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, wanted in enumerate(expected):
        np.testing.assert_array_equal(found[number], wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_noisy_sign_of_the_input_itself(dtype: type) -> None:
    a = ArtifactBuilder(2)
    real = "x" if dtype == np.float32 else a.add("Cast", "x", to=TensorProto.FLOAT)
    first = a.stochastic_sign(real, 100.0 if dtype == np.uint8 else 0.0, 50.0, channels=7)
    sums = a.binary_conv2d(first, 7, 9, pads=(1, 1, 1, 1), thresholds=False)
    last = a.noisy_sum(sums, 9, 8)
    scores = a.gemm(a.to_real(a.add("Flatten", last)), 9 * 20, 3)
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    model = a.artifact((7, 4, 5), scores, dtype=kind, sizes={scores: (3,)})
    images: Array = (a.rng.standard_normal((3, 7, 4, 5)) * 50 + 100).astype(dtype)
    runtime, reference = Model(model), Reference(model)
    samples = []
    for index in range(3):
        sample = Sample(seed=8, index=index)
        expected = reference.trace(images, sample)
        for name, signs in runtime.trace(images, sample=sample).items():
            np.testing.assert_array_equal(signs, expected[name])
        samples.append(quantity("scores", reference.run(images, sample)[0]))
    found = runtime.predict(images, samples=3, seed=8)
    np.testing.assert_allclose(found, np.mean(samples, axis=0), atol=1e-5)
    runtime.predict(images, samples="auto", seed=8)


def test_what_is_no_number_is_no_plus_one() -> None:
    a = ArtifactBuilder(2)
    real = a.add("Sqrt", "x")  # NaN below 0
    signs = a.stochastic_sign(real, 0.5, 0.1, channels=19)
    out = a.to_real(signs)
    model = a.artifact((19, 3, 5), out, sizes={out: (19, 3, 5)})
    x = a.rng.standard_normal((2, 19, 3, 5)).astype(np.float32)
    runtime, reference = Model(model), Reference(model)
    with np.errstate(invalid="ignore"):
        expected = reference.trace(x, Sample(seed=1))[signs]
    found = runtime.trace(x, sample=Sample(seed=1))[signs]
    np.testing.assert_array_equal(found, expected)
    assert (found[x < 0] == 0).all()


def test_a_shape_that_holds_the_batch_is_that_of_the_draws() -> None:
    a = ArtifactBuilder(2)
    signs = a.stochastic_sign("x", channels=6)
    real = a.to_real(signs)
    batch = a.add("Gather", a.add("Shape", real), a.constant(np.array([0])), axis=0)
    shape = a.add("Concat", batch, a.constant(np.array([-1])), axis=0)
    scores = a.gemm(a.add("Reshape", real, shape), 6 * 6, 3)
    model = a.artifact((6, 2, 3), scores, sizes={scores: (3,)})
    x = a.rng.standard_normal((5, 6, 2, 3)).astype(np.float32)
    runtime, reference = Model(model), Reference(model)
    samples = [reference.run(x, Sample(index=index))[0] for index in range(7)]
    wanted = np.mean([quantity("scores", scores) for scores in samples], axis=0)
    np.testing.assert_allclose(runtime.predict(x, samples=7), wanted, atol=1e-5)


def test_a_shape_of_the_images_among_draws_is_refused_at_once() -> None:
    a = ArtifactBuilder(2)
    real = a.to_real(a.stochastic_sign("x", channels=6))
    batch = a.add("Gather", a.add("Shape", "x"), a.constant(np.array([0])), axis=0)
    shape = a.add("Concat", batch, a.constant(np.array([-1])), axis=0)
    scores = a.gemm(a.add("Reshape", real, shape), 6 * 6, 3)
    with pytest.raises(UnsupportedError, match="which may depend on the batch"):
        Model(a.artifact((6, 2, 3), scores, sizes={scores: (3,)}))


@pytest.mark.parametrize(
    ("table", "threshold", "scale"),
    [
        (np.zeros(2), 0.0, 1.0),
        (np.full(4096, np.nan), 0.0, 1.0),
        (-np.arange(4096), 0.0, 1.0),
        (np.zeros(4096), np.inf, 1.0),
        (np.zeros(4096), 0.0, 0.0),
        (np.zeros(4096), 0.0, 1e-30),
        (np.zeros(4096), 0.0, np.inf),
    ],
)
def test_damaged_noise_does_not_reach_the_kernels(
    table: Array, threshold: float, scale: float
) -> None:
    model, _ = _with_law(table, np.asarray(threshold), np.asarray(scale))
    with pytest.raises(ArtifactError, match=r"expected .*(table|thresholds|scales)"):
        Model(model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": -1}, f"expected 0 to {MOST_SAMPLES} samples, got -1"),
        ({"samples": MOST_SAMPLES + 1}, f"got {MOST_SAMPLES + 1}"),
        ({"samples": 2.0}, "got 2.0"),
        ({"samples": True}, "got True"),
        ({"samples": "many"}, "'many'"),
        ({"samples": "auto", "max_samples": 0}, "max_samples"),
        ({"samples": "auto", "error_rate": 0.0}, "error_rate"),
        ({"samples": 1, "seed": -1}, "seed from 0 to 2"),
        ({"samples": 1, "seed": 2**64}, "seed from 0 to 2"),
        ({"samples": 1, "image_offset": -1}, "image offset"),
        ({"samples": 1, "image_offset": 2**32 - 3}, "expected images up to number"),
        ({"samples": 1, "threads": 0}, "threads"),
    ],
)
def test_bad_numbers_are_refused(arguments: dict[str, object], message: str) -> None:
    model, images = noisy_digits_like()
    with pytest.raises(UsageError, match=message):
        Model(model).predict(images[:4], **arguments)  # type: ignore[arg-type]


def test_samples_of_a_deterministic_file_are_refused() -> None:
    a = ArtifactBuilder()
    scores = a.gemm(a.to_real(a.sign("x")), 5, 3)
    runtime = Model(a.artifact((5,), scores, sizes={scores: (3,)}))
    x = np.zeros((2, 5), np.float32)
    for call in (
        lambda: runtime.predict(x, samples=1),
        lambda: runtime.run_sample(x, Sample()),
        lambda: runtime.trace(x, sample=Sample()),
    ):
        with pytest.raises(UsageError, match="deterministic"):
            call()


def test_the_kernels_have_the_keys_of_each_round() -> None:
    counters = PhiloxCounters.zeros(2)
    images, numbers = np.array([1, 0]), np.array([8, 7])
    samples = [Sample(seed=2**32 + 5, index=index, antithetic=True) for index in (2, 3)]
    counters.set(images, numbers, samples)
    assert counters.keys.shape == (ROUNDS, 2)
    assert counters.keys[0].tolist() == [5, 1]
    assert counters.keys[1].tolist() == [5 + 0x9E3779B9, 1 + 0xBB67AE85]
    assert counters.words.tolist() == [[8, 1, 0], [7, 1, 4095]]
