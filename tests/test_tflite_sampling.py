"""Noisy signs in TFLite: exact bits from given random numbers, frequencies from its own."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from artifacts import QUANTILES, Array, ArtifactBuilder, noisy_digits_like, noisy_real_like
from click.testing import CliRunner
from test_tflite_networks import artifact_of
from tflite_runs import as_onnx, needs_lce, normal, open_file, pixels, to_nhwc

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.sample import TABLE_SIZE, Sample
from bnnkit.cli.group import bnnkit_command
from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import GivenUniforms, RandomUniforms, UniformInput, Variant, to_tflite
from bnnkit.export.tflite.given_uniforms import uniforms
from bnnkit.runtime import Model
from bnnkit.tflite.window import Pads

VARIANTS: tuple[Variant, ...] = ("lce", "builtin")
SAMPLES = [
    Sample(),
    Sample(seed=2**40 + 7, index=3, image_offset=9),
    Sample(seed=5, index=7, antithetic=True),
    Sample(seed=5, index=2**32 - 1, image_offset=2**32 - 4),
]


def assert_bits_of_the_contract(model: Artifact, images: Array, sample: Sample) -> None:
    """Both variants, in all kernels, give the signs of the runtime, and its scores within 1e-3."""
    runtime = Model(model)
    signs, scores = runtime.trace(images, sample=sample), runtime.run_sample(images, sample)
    n_noisy = sum(node.op_type == "StochasticSign" for node in model.model.graph.node)
    for variant in VARIANTS:
        tflite = to_tflite(
            model, variant=variant, uniforms=GivenUniforms(), batch=len(images), traced=list(signs)
        )
        assert len(tflite.report.uniform_inputs) == n_noisy
        assert tflite.traced.keys() == signs.keys()
        numbers = uniforms(tflite.report.uniform_inputs, len(images), sample)
        for kernel in ("default", "indirect", "reference"):
            engine = open_file(tflite.content, kernel=kernel)
            first, *results = engine.predict([to_nhwc(images), *numbers])
            np.testing.assert_allclose(first, scores, rtol=0, atol=1e-3)
            for (name, value), result in zip(tflite.traced.items(), results, strict=True):
                np.testing.assert_array_equal(as_onnx(value, result), signs[name], err_msg=name)


@needs_lce
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("make", [noisy_digits_like, noisy_real_like])
def test_given_numbers_give_the_signs_of_the_contract(
    make: Callable[[], tuple[Artifact, Array]], sample: Sample
) -> None:
    model, images = make()
    assert_bits_of_the_contract(model, images[:4], sample)


@needs_lce
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mlp", (1, 8, 8)),
        pytest.param("vgg", (3, 32, 32), marks=pytest.mark.slow),
        pytest.param("resnet18", (3, 32, 32), marks=pytest.mark.slow),
    ],
)
def test_given_numbers_of_whole_networks(name: str, shape: tuple[int, int, int]) -> None:
    options = {} if name == "mlp" else {"width": 8}
    images = pixels((4, *shape))
    model = artifact_of(name, shape, options, images, mode="samples")
    assert_bits_of_the_contract(model, images[:2], Sample(seed=1, index=2))


@needs_lce
@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 0, 2, 1)])
def test_given_numbers_of_a_sign_of_a_flattened_map(pads: Pads) -> None:
    """Each feature is a channel, and its number has the place of its pixel."""
    a = ArtifactBuilder()
    sums = a.binary_conv2d(a.sign("x"), 5, 3, pads=pads, thresholds=False)
    flat = a.add("Flatten", a.add("Cast", sums, to=onnx.TensorProto.FLOAT))
    height, width = 4 + pads[0] + pads[2] - 2, 3 + pads[1] + pads[3] - 2
    n = 3 * height * width
    law = a.rng.normal(0, 3, n), np.exp(a.rng.normal(1, 1, n))
    bits = a.stochastic_sign(flat, *law, channels=n, maps=False)
    model = a.artifact((5, 4, 3), a.gemm(a.to_real(bits), n, 4))
    given = to_tflite(model, uniforms=GivenUniforms()).report.uniform_inputs
    name = f"{bits}/uniform"
    assert given == (UniformInput(name=name, layer=0, shape=(n,), map=(3, height, width)),)
    assert_bits_of_the_contract(model, normal((3, 5, 4, 3)), Sample(seed=4))


def test_numbers_lead_to_their_quantiles() -> None:
    """4096 u in float32, rounded towards zero, is the index again, for each index."""
    given = UniformInput(name="u", layer=0, shape=(64, 64, 64), map=(64, 64, 64))
    (numbers,) = uniforms([given], 1, Sample())
    assert numbers.shape == (1, 64, 64, 64)
    assert numbers.dtype == np.float32
    products = numbers * np.float32(TABLE_SIZE)
    np.testing.assert_array_equal(products % 1, np.full(products.shape, 0.5, np.float32))
    assert set(products.astype(np.int32).ravel().tolist()) == set(range(TABLE_SIZE))


N_IMAGES, SIZE = 8, (64, 64)
NUMBERS = np.array([-5.5, -2, -0.8, -0.3, 0, 0.1, 0.5, 0.9, 5.5], np.float32)


def frequencies(model: Artifact, images: Array, variant: Variant) -> Array:
    """How often the signs of each channel are +1, in the first run of seed 3."""
    tflite = to_tflite(model, variant=variant, uniforms=RandomUniforms(seed=3), batch=len(images))
    (value,) = tflite.outputs.values()
    (result,) = open_file(tflite.content).predict([to_nhwc(images)])
    return np.asarray(as_onnx(value, result).mean(axis=(0, 2, 3)) / 2)


def assert_frequent(found: Array, expected: Array, n: int) -> None:
    """Within five standard deviations of n draws, and half a quantile of the table."""
    bound = 5 * np.sqrt(expected * (1 - expected) / n) + 0.5 / TABLE_SIZE
    assert (abs(found - expected) <= bound).all(), (found, expected, bound)


LAWS: dict[str, Callable[[Array], Array]] = {
    "logistic": lambda a: 1 / (1 + np.exp(-2 * a)),
    "uniform": lambda a: np.clip((1 + a) / 2, 0, 1),
}


@needs_lce
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("noise", QUANTILES)
def test_frequencies_of_signs_of_numbers(noise: str, variant: Variant) -> None:
    """P(+1) = F(a), over 32768 signs of each number."""
    a = ArtifactBuilder()
    model = a.artifact((9, *SIZE), a.stochastic_sign("x", channels=9, noise=noise))
    images = np.broadcast_to(NUMBERS.reshape(9, 1, 1), (N_IMAGES, 9, *SIZE))
    found = frequencies(model, images, variant)
    assert_frequent(found, LAWS[noise](NUMBERS.astype(np.float64)), N_IMAGES * SIZE[0] * SIZE[1])
    assert (found[0], found[-1]) == (0, 1)  # beyond the table: never, always


@needs_lce
@pytest.mark.parametrize("variant", VARIANTS)
def test_frequencies_of_signs_of_sums(variant: Variant) -> None:
    """P(+1) = F((sum - t) / r): all inputs are +1, so each channel has one sum."""
    a = ArtifactBuilder()
    sums = a.binary_conv2d(a.sign("x"), 33, 40, 1, thresholds=False)
    images = np.ones((N_IMAGES, 33, *SIZE), np.float32)
    (found_sums,) = np.asarray(Model(a.artifact((33, *SIZE), sums)).run(images[:1])).reshape(
        1, 40, -1
    )
    t, r = a.rng.normal(0, 5, 40).astype("f"), a.rng.uniform(2, 9, 40).astype("f")
    real = a.add("Cast", sums, to=onnx.TensorProto.FLOAT)
    model = a.artifact((33, *SIZE), a.stochastic_sign(real, t, r, channels=40))
    found = frequencies(model, images, variant)
    expected = LAWS["logistic"]((found_sums[:, 0] - t.astype(np.float64)) / r)
    assert ((expected > 0.2) & (expected < 0.8)).sum() > 10
    assert_frequent(found, expected, N_IMAGES * SIZE[0] * SIZE[1])


def two_layers() -> Artifact:
    """Two layers of fair coins."""
    a = ArtifactBuilder()
    zero = a.add("Mul", "x", a.constant(np.zeros((8, 1, 1), np.float32)))
    bits = [a.stochastic_sign(zero, channels=8) for _ in range(2)]
    return a.artifact((8, 64, 64), *bits)


def runs_of(content: bytes, n: int) -> list[Array]:
    """The signs of both layers, as -1 and +1, in runs of one interpreter."""
    engine, image = open_file(content), np.ones((1, 64, 64, 8), np.float32)
    return [x.astype(np.float64) for _ in range(n) for x in engine.predict([image])]


@needs_lce
def test_layers_pixels_and_runs_are_independent() -> None:
    """The mean product of n pairs of fair coins is within 5 / sqrt(n)."""
    content = to_tflite(two_layers(), variant="builtin", uniforms=RandomUniforms(seed=11)).content
    first, other_layer, next_run, _ = runs_of(content, 2)
    pairs = [
        (first, other_layer),
        (first, next_run),
        (other_layer, next_run),
        (first[:, 1:], first[:, :-1]),
        (first[:, :, 1:], first[:, :, :-1]),
        (first[..., 1:], first[..., :-1]),
    ]
    for left, right in pairs:
        assert abs((left * right).mean()) < 5 / np.sqrt(left.size)


@needs_lce
def test_a_seed_repeats_and_none_does_not() -> None:
    contents = [
        to_tflite(two_layers(), variant="builtin", uniforms=RandomUniforms(seed)).content
        for seed in (7, 8, 0)
    ]
    seven, again, eight, fresh, other = (runs_of(contents[i], 1)[0] for i in (0, 0, 1, 2, 2))
    np.testing.assert_array_equal(seven, again)
    for left, right in ((seven, eight), (seven, fresh), (fresh, other)):
        assert (left != right).mean() > 0.4


def test_the_report_names_the_numbers() -> None:
    model, _ = noisy_digits_like()
    drawn, given = (
        to_tflite(model, uniforms=source).report for source in (RandomUniforms(), GivenUniforms())
    )
    assert drawn.uniform_inputs == ()
    assert (drawn.operators["RANDOM_UNIFORM"], drawn.operators["GATHER"]) == (4, 4)
    assert "RANDOM_UNIFORM" not in given.operators
    assert [entry.layer for entry in given.uniform_inputs] == [0, 1, 2, 3]
    for report, source in ((drawn, "RANDOM_UNIFORM"), (given, "input of random numbers")):
        form = f"{source} + GATHER + GREATER_EQUAL"
        assert sum(choice.form == form for choice in report.choices) == 4


def test_draws_of_weights_have_no_form() -> None:
    model, _ = noisy_digits_like()
    model.model.graph.node.add(op_type="WeightDraw", domain="bnnkit")
    with pytest.raises(UnsupportedError, match="without --sample-weights"):
        to_tflite(model)


def export(run: Path, path: Path, *words: str) -> tuple[int, str]:
    line = ["export", str(run), "-o", str(path), "--mode", "samples", *words]
    result = CliRunner().invoke(bnnkit_command, line)
    return result.exit_code, result.output


@pytest.mark.parametrize("variant", ["lce", pytest.param("builtin", marks=pytest.mark.exhaustive)])
def test_the_command(digits_run: Path, tmp_path: Path, variant: Variant) -> None:
    path = tmp_path / "m.tflite"
    words = ["--to", "tflite", "--variant", variant]
    code, output = export(digits_run, path, *words)
    assert code == 0, output
    assert "RANDOM_UNIFORM" in output
    code, output = export(digits_run, path, *words, "--uniform-input")
    assert code == 0, output
    assert "inputs of uniform random numbers" in output
    code, output = export(digits_run, path, *words, "--uniform-input", "--json")
    found = json.loads(output)
    assert [entry["layer"] for entry in found["uniform_inputs"]] == [0, 1, 2]
    assert path.stat().st_size == found["file_bytes"]


def test_uniform_inputs_are_of_tflite(digits_run: Path, tmp_path: Path) -> None:
    code, output = export(digits_run, tmp_path / "m.onnx", "--uniform-input")
    assert code != 0
    assert "--uniform-input needs --to tflite --mode samples" in output
