"""Verify finds and locates differences, and accepts only those that rounding explains."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from artifacts import QUANTILES, Array, ArtifactBuilder, digits_like, noisy_digits_like
from onnx import TensorProto, numpy_helper
from tflite_runs import needs_lce

from bnnkit import data
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.operators.functions import function, names
from bnnkit.artifact.operators.noise import draw
from bnnkit.artifact.rounding import (
    signs_that_engines_may_round,
    signs_that_torch_may_round,
)
from bnnkit.engines import Runtime, lce
from bnnkit.engines.engine import SamplingEngine
from bnnkit.engines.ort import OnnxRuntime
from bnnkit.errors import CheckpointError, MissingExtraError, UsageError
from bnnkit.runtime.open_file import read
from bnnkit.verification.coverage import signs_in_memory, signs_of_modules
from bnnkit.verification.reference_run import ReferenceRun
from bnnkit.verification.verify import BATCH, SAMPLES, SEEDS, check_pair, verify


@pytest.mark.parametrize("build", [digits_like, noisy_digits_like])
def test_integer_networks_round_nowhere(
    build: Callable[[], tuple[Artifact, Array]],
) -> None:
    model, _ = build()
    assert signs_that_engines_may_round(model) == {}
    assert signs_that_torch_may_round(model) == set()


def test_which_signs_hang_on_rounding() -> None:
    a = ArtifactBuilder()
    weight = a.constant(np.ones((3, 2, 1, 1), np.float32))
    exact = a.sign("x")
    scaled = a.add("Mul", "x", a.constant(np.float32(0.1)))
    elementwise = a.sign(scaled)
    summed = a.add("Relu", a.add("Conv", scaled, weight))
    rounded = a.sign(summed)
    pooled = a.add("MaxPool", rounded, kernel_shape=[2, 2])
    after = a.binary_conv2d(pooled, 3, 4)
    model = a.artifact((2, 8, 8), exact, elementwise, after)
    assert signs_that_engines_may_round(model) == {rounded: summed}
    assert signs_that_torch_may_round(model) == {exact, elementwise, rounded, pooled}


def test_which_noisy_signs_hang_on_rounding() -> None:
    a = ArtifactBuilder()
    weight = a.constant(np.ones((3, 2, 1, 1), np.float32))
    summed = a.add("Conv", "x", weight)
    rounded = a.stochastic_sign(summed, channels=3)
    sums = a.binary_conv2d(rounded, 3, 4, thresholds=False)
    exact = a.noisy_sum(sums, 4, 3, pool=2, sides=True)
    real = a.add("Cast", sums, to=TensorProto.FLOAT)
    scaled = a.add("Mul", real, a.constant(np.float32(0.3)))
    elementwise = a.stochastic_sign(scaled, channels=4)
    model = a.artifact((2, 8, 8), exact, elementwise)
    assert signs_that_engines_may_round(model) == {rounded: summed}
    assert signs_that_torch_may_round(model) == {rounded, elementwise}


def test_the_margin_of_a_noisy_sign_is_its_distance_from_the_noise() -> None:
    a = ArtifactBuilder()
    weight = a.constant(np.ones((3, 2, 1, 1), np.float32))
    signs = a.stochastic_sign(a.add("Conv", "x", weight), 0.25, 0.5, channels=3)
    model = a.artifact((2, 4, 4), signs)
    images = a.rng.standard_normal((5, 2, 4, 4)).astype(np.float32)
    total = images.sum(axis=1, keepdims=True).repeat(3, axis=1)
    run, sample = ReferenceRun(model), Sample(seed=3, index=1)
    np.testing.assert_allclose(run(images).real[signs], total - 0.25, atol=1e-6)
    z = draw((5, 3, 4, 4), 0, QUANTILES["logistic"].astype(np.float32), sample)
    found = run(images, sample)
    np.testing.assert_allclose(found.real[signs], total - (0.25 + 0.5 * z), atol=1e-6)
    np.testing.assert_array_equal(found.signs[signs] == 2, found.real[signs] >= 0)


def test_samples_of_a_stochastic_network_are_compared() -> None:
    model, images = noisy_digits_like()
    model.model.functions.extend(function(name) for name in names())
    found = verify(model, images)
    assert found.is_equal
    assert len(found.samples) == SAMPLES * len(SEEDS)
    assert {sample.seed for sample in found.samples} == set(SEEDS)
    alone = verify(model, images, samples=0)
    assert alone.samples == ()
    passes = 1 + len(found.samples)
    for comparison, single in zip(found.comparisons, alone.comparisons, strict=True):
        assert comparison.n_bits == passes * single.n_bits > 0


def test_another_noise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bit that differs in a sample alone, in one engine."""
    model, images = noisy_digits_like()
    model.model.functions.extend(function(name) for name in names())
    trace = Runtime.trace

    def another(self: Runtime, images: Array, sample: Sample | None = None) -> dict[str, Array]:
        if sample is not None and sample.index == 1:
            sample = replace(sample, image_offset=sample.image_offset + 1)
        return trace(self, images, sample)

    monkeypatch.setattr(Runtime, "trace", another)
    onnxruntime, *runtimes = verify(model, images).comparisons
    assert onnxruntime.is_equal
    for comparison in runtimes:
        sample = comparison.differences[0].sample
        assert sample is not None
        assert (sample.seed, sample.index, comparison.differences[0].image) == (0, 1, 0)


def test_engines_are_equal_on_a_network_without_checkpoint() -> None:
    model, images = digits_like()
    model.model.functions.extend(function(name) for name in names())
    done: list[int] = []
    many = np.concatenate([images] * 10)
    found = verify(model, many, advance=done.append)
    assert found.is_equal
    assert found.n_images == len(many) == sum(done) > BATCH
    assert [c.engine for c in found.comparisons] == [
        "onnxruntime",
        "bnnkit, 1 thread",
        "bnnkit, 2 threads",
    ]
    assert all(c.n_bits > 0 and c.excused_images == 0 for c in found.comparisons)
    assert list(found.left_out) == ["torch"]


def test_float_first_layer_is_excused_at_most_where_it_rounds() -> None:
    a = ArtifactBuilder(5)
    weight = a.constant(a.rng.standard_normal((33, 3, 3, 3)).astype(np.float32))
    signs = a.sign(a.add("Conv", "x", weight))
    scores = a.gemm(a.to_real(a.add("Flatten", a.binary_conv2d(signs, 33, 8))), 8 * 6 * 6, 4)
    model = a.artifact((3, 10, 10), scores, dtype=TensorProto.FLOAT, sizes={scores: (4,)})
    model.model.functions.extend(function(name) for name in names())
    images = a.rng.standard_normal((40, 3, 10, 10)).astype(np.float32)
    assert verify(model, images).is_equal


def test_which_signs_the_runtime_holds() -> None:
    a = ArtifactBuilder()
    fused, held = (a.binary_conv2d(a.sign("x"), 2, 3) for _ in range(2))
    pooled = a.add("MaxPool", fused, kernel_shape=[2, 2], strides=[2, 2])
    wide = a.add("MaxPool", held, kernel_shape=[3, 3])
    model = a.artifact((2, 8, 8), pooled, wide)
    signs = [node.output[0] for node in a.nodes if node.op_type == "Sign"]
    assert signs_in_memory(model) == {*signs, held, pooled, wide}
    assert signs_of_modules(model, [signs[0], "other"]) == {signs[0]}


@pytest.mark.parametrize(
    ("engine", "crippled"), [(OnnxRuntime, "onnxruntime"), (Runtime, "bnnkit, ")]
)
@pytest.mark.parametrize("keeps", [0, 1])
def test_an_engine_that_traces_too_little_is_not_equal(
    monkeypatch: pytest.MonkeyPatch, engine: type[SamplingEngine], crippled: str, keeps: int
) -> None:
    model, images = digits_like()
    model.model.functions.extend(function(name) for name in names())
    trace = engine.trace

    def less(self: SamplingEngine, images: Array, sample: Sample | None) -> dict[str, Array]:
        return dict(list(trace(self, images, sample).items())[:keeps])

    monkeypatch.setattr(engine, "trace", less)
    found = verify(model, images)
    assert not found.is_equal
    for comparison in found.comparisons:
        is_crippled = comparison.engine.startswith(crippled)
        assert comparison.is_equal != is_crippled
        assert bool(comparison.uncovered) == is_crippled
        assert comparison.n_tensors == keeps or not is_crippled


def test_torch_must_give_the_signs_of_its_modules(
    monkeypatch: pytest.MonkeyPatch, digits_run: Path, digits_model: Path
) -> None:
    from bnnkit.training import load_checkpoint
    from bnnkit.verification.torch_trace import TorchTrace

    evaluate = TorchTrace.__call__
    monkeypatch.setattr(
        TorchTrace, "__call__", lambda *arguments: replace(evaluate(*arguments), signs={})
    )
    network = load_checkpoint(digits_run).model
    found = verify(read(digits_model), data.load("digits").x_test[:9], network=network)
    assert [comparison.is_equal for comparison in found.comparisons] == [False, True, True, True]
    assert set(found.comparisons[0].uncovered) == {
        name for name, module in network.named_modules() if type(module).__name__ == "Sign"
    }


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_two_signs_of_the_same_numbers_are_one_sign_of_the_file(shift: float) -> None:
    """As in a network of two branches that is not trained yet: torch's exporter merges them."""
    import torch
    from torch import nn

    import bnnkit.nn as bnn
    from bnnkit.export.from_torch.export_onnx import from_torch

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.signs = nn.ModuleList(bnn.Sign("none") for _ in range(2))
            self.layers = nn.ModuleList(bnn.BinaryLinear(12, 5) for _ in range(2))
            self.shifts = nn.ParameterList(torch.full((12,), s) for s in (0.25, 0.25 + shift))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            parts = zip(self.layers, self.signs, self.shifts, strict=True)
            return torch.cat([layer(sign(x + shift)) for layer, sign, shift in parts], 1)

    network = Branches().eval()
    x = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))
    artifact = from_torch(network, x)
    assert len(artifact.signs) == (2 if shift else 1)
    found = verify(artifact, x.numpy(), network=network)
    assert found.is_equal
    (of_torch,) = (one for one in found.comparisons if one.engine == "torch")
    assert of_torch.n_tensors == len(artifact.signs)


def test_wrong_images_are_refused() -> None:
    with pytest.raises(UsageError, match="expected uint8 of shape"):
        verify(digits_like()[0], np.zeros((2, 3, 8, 8), np.uint8))


def test_torch_and_all_engines_are_equal(digits_run: Path, digits_model: Path) -> None:
    from bnnkit.training import load_checkpoint

    model, network = read(digits_model), load_checkpoint(digits_run).model
    check_pair(digits_run, model)
    found = verify(model, data.load("digits").x_test, network=network)
    assert found.is_equal
    assert found.left_out == {}
    torch_comparison = found.comparisons[0]
    assert torch_comparison.engine == "torch"
    assert torch_comparison.n_tensors == sum(
        type(module).__name__ == "Sign" for module in network.modules()
    )


def test_a_changed_threshold_is_found(digits_run: Path, digits_model: Path) -> None:
    from bnnkit.training import load_checkpoint

    model, network = read(digits_model), load_checkpoint(digits_run).model
    _, node, *_ = (n for n in model.model.graph.node if n.op_type == "StochasticSign")
    constant = next(t for t in model.model.graph.initializer if t.name == node.input[1])
    thresholds = numpy_helper.to_array(constant).copy()
    thresholds[1] -= 8
    constant.CopyFrom(numpy_helper.from_array(thresholds, constant.name))
    found = verify(model, data.load("digits").x_test[:100], network=network)
    torch_comparison, *engines = found.comparisons
    assert not found.is_equal
    assert all(comparison.is_equal for comparison in engines)
    first = torch_comparison.differences[0]
    assert first.name == node.output[0]
    assert first.index[0] == 1
    assert first.sample is None
    assert torch_comparison.excused_images == 0


def test_another_checkpoint_is_refused(digits_run: Path, digits_model: Path) -> None:
    model = read(digits_model)
    for entry in model.model.metadata_props:
        if entry.key == "bnnkit.checkpoint":
            entry.value = "0" * 64
    with pytest.raises(CheckpointError, match=r"expected sha256 000000000000\.\.\., got"):
        check_pair(digits_run, model)


def test_trace_of_torch_names_the_second_call() -> None:
    torch = pytest.importorskip("torch")
    import bnnkit.nn as bnn
    from bnnkit.verification.torch_trace import TorchTrace

    class Twice(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.sign = bnn.Sign()

        def forward(self, x: Array) -> Array:
            return self.sign(self.sign(x) - 0.5)  # type: ignore[no-any-return]

    network = Twice().train()
    x = np.array([[-1, 0, -0.0, 2]], np.float32)
    found = TorchTrace(network, {"sign#2"})(x)
    np.testing.assert_array_equal(found.signs["sign"], np.array([[0, 2, 2, 2]], np.uint8))
    np.testing.assert_array_equal(found.signs["sign#2"], np.array([[0, 2, 2, 2]], np.uint8))
    np.testing.assert_array_equal(
        found.real["sign#2"], np.array([[-1.5, 0.5, 0.5, 0.5]], np.float32)
    )
    assert list(found.real) == ["sign#2"]
    assert network.training
    assert not network.sign._forward_hooks


@pytest.mark.slow
def test_torch_has_no_draws_of_the_weights(digits_run: Path) -> None:
    from bnnkit.deployment.export_checkpoint import CheckpointExport
    from bnnkit.training import load_checkpoint

    model = CheckpointExport(digits_run, weight_draws=3, seed=1).artifact()
    images, network = data.load("digits").x_test[:5], load_checkpoint(digits_run).model
    found = verify(model, images, network=network)
    assert found.is_equal
    assert list(found.left_out) == ["torch in samples"]
    torch_comparison, *engines = found.comparisons
    alone = verify(model, images, network=network, samples=0).comparisons[0]
    assert torch_comparison.n_bits == alone.n_bits > 0
    assert all(comparison.n_bits > torch_comparison.n_bits for comparison in engines)


@needs_lce
def test_lce_is_compared_where_it_is_asked_for(digits_model: Path) -> None:
    model = read(digits_model)
    images = data.load("digits").x_test[:60]
    found = verify(model, images, samples=1, with_lce=True)
    assert found.is_equal
    (compared,) = (one for one in found.comparisons if one.engine == "lce")
    assert compared.n_bits > 0
    assert "lce" not in {one.engine for one in verify(model, images[:1]).comparisons}


def test_lce_that_is_missing_is_an_error(
    digits_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lce, "extension", lambda: None)
    with pytest.raises(MissingExtraError, match=r"bnnkit\[lce\]"):
        verify(read(digits_model), data.load("digits").x_test[:1], with_lce=True)
