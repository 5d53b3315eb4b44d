import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from artifacts import Array, ArtifactBuilder, digits_like, noisy_digits_like
from onnx import TensorProto, helper
from tflite_runs import needs_lce

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.ensemble_config import EnsembleConfig, Samples
from bnnkit.artifact.format.bits import pack_weight
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.operators.functions import function, names
from bnnkit.engines import ENGINES, open_engine
from bnnkit.engines.engine import SamplingEngine
from bnnkit.engines.ort_session import with_outputs
from bnnkit.engines.rewrites.float32 import Float32Rewrite, rewrite_in_float32
from bnnkit.errors import MissingExtraError, UnsupportedError, UsageError
from bnnkit.runtime.uncertainty import entropy

FUNCTIONS = [function(name) for name in names()]


def _with_functions(model: Artifact) -> Artifact:
    model.model.functions.extend(FUNCTIONS)
    return model


def _digits() -> tuple[Artifact, Array]:
    model, images = digits_like()
    return _with_functions(model), images


def _real_input() -> tuple[Artifact, Array]:
    """Sign of reals, groups, stride, dilation, zero padding, sums and a real skip connection."""
    a = ArtifactBuilder(1)
    signs = a.sign("x")
    grouped = a.binary_conv2d(signs, 6, 4, pads=(1, 1, 1, 1), groups=2, thresholds=False)
    real = a.add("Cast", grouped, to=TensorProto.FLOAT)
    total = a.add("Add", real, a.constant(a.rng.standard_normal((4, 1, 1)).astype(np.float32)))
    again = a.sign(total)
    wide = a.binary_conv2d(again, 4, 5, 2, stride=2, pads=(1, 0, 0, 1), dilation=2)
    scores = a.gemm(a.to_real(a.add("Flatten", wide)), 5 * 3 * 3, 3)
    images = a.rng.standard_normal((4, 6, 7, 7)).astype(np.float32)
    images[0, :, 0] = 0
    images[1, :, 0] = -0.0
    sizes: dict[str, Sequence[int]] = {scores: (3,), total: (4, 7, 7)}
    return _with_functions(a.artifact((6, 7, 7), scores, total, sizes=sizes)), images


def _integer_outputs() -> tuple[Artifact, Array]:
    """Signs and sums that are outputs themselves, and read by other nodes too."""
    a = ArtifactBuilder(2)
    sums = a.integer_conv2d("x", 2, 9)
    signs = a.threshold(sums, a.rng.integers(-40000, 40000, (9, 1, 1)))
    dense = a.binary_linear(a.add("Flatten", signs), 9 * 16, 12)
    images = a.rng.integers(0, 256, (5, 2, 4, 4)).astype(np.uint8)
    sizes: dict[str, Sequence[int]] = {sums: (9, 4, 4), signs: (9, 4, 4), dense: (12,)}
    model = a.artifact((2, 4, 4), signs, sums, dense, dtype=TensorProto.UINT8, sizes=sizes)
    return _with_functions(model), images


def _extreme_thresholds() -> tuple[Artifact, Array]:
    """Thresholds that are always or never reached, and ties."""
    a = ArtifactBuilder(3)
    signs, weight = a.sign("x"), a.signs(8, 1, 1, 8)
    operands = [signs, a.constant(pack_weight(weight))]
    operands.append(a.constant(np.array([-8, 9, 0, 8, -7, 1, 2, -2], np.int32)))
    window = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    out = a.add("bnnkit.BinaryConv2dThreshold", *operands, weight_shape=weight.shape, **window)
    images = a.rng.choice(np.array([-1, 1], np.float32), (64, 8, 3, 3))
    return _with_functions(a.artifact((8, 3, 3), out, sizes={out: (8, 3, 3)})), images


def _real_input_of_binary_weights() -> tuple[Artifact, Array]:
    """Binary weights that meet real activations."""
    a = ArtifactBuilder(4)
    shape = (5, 3, 3, 2)
    packed = a.constant(pack_weight(a.signs(*shape)))
    weight = a.add("bnnkit.BinaryWeight", packed, weight_shape=shape)
    out = a.add("Conv", "x", weight, strides=[1, 1], pads=[1] * 4, dilations=[1, 1], group=1)
    signs = a.sign(out)
    images = np.round(a.rng.standard_normal((3, 2, 5, 5)) * 8).astype(np.float32)  # exact sums
    sizes: dict[str, Sequence[int]] = {out: (5, 5, 5), signs: (5, 5, 5)}
    return _with_functions(a.artifact((2, 5, 5), out, signs, sizes=sizes)), images


def engines_but(*left_out: str) -> list[Any]:
    """The names of engines, of which LCE may not be there."""
    return [
        pytest.param(name, marks=needs_lce) if name == "lce" else name
        for name in ENGINES
        if name not in left_out
    ]


NETWORKS = [
    _digits,
    _real_input,
    _integer_outputs,
    _extreme_thresholds,
    _real_input_of_binary_weights,
]


@pytest.mark.parametrize("engine", engines_but("reference"))
@pytest.mark.parametrize("network", NETWORKS)
def test_engines_equal_the_reference(
    engine: str, network: Callable[[], tuple[Artifact, Array]]
) -> None:
    model, images = network()
    expected, found = open_engine("reference", model), open_engine(engine, model, threads=2)
    found.check(images)
    for want, have in zip(expected.run(images), found.run(images), strict=True):
        assert have.dtype == want.dtype
        if want.dtype == np.float32:
            np.testing.assert_allclose(have, want, rtol=0, atol=1e-4)  # order of real sums
        else:
            np.testing.assert_array_equal(have, want)
    signs = expected.trace(images)
    traced = found.trace(images)
    assert traced
    for name, values in traced.items():
        assert values.dtype == np.uint8
        np.testing.assert_array_equal(values, signs[name], err_msg=name)


@pytest.mark.parametrize("name", engines_but())
def test_predictions_are_softmax_of_the_first_output(name: str) -> None:
    model, images = _digits()
    engine = open_engine(name, model)
    scores = engine.run(images)[0].astype(np.float64)
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    found = engine.ensemble(images, EnsembleConfig()).probabilities
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_float32_rewrite_has_standard_operators_only_and_leaves_the_artifact() -> None:
    for network in NETWORKS:
        model, _ = network()
        before = model.model.SerializeToString(deterministic=True)
        rewrite = rewrite_in_float32(model)
        onnx.checker.check_model(rewrite)
        assert {node.domain for node in rewrite.graph.node} == {""}
        assert not rewrite.functions
        assert [v.name for v in rewrite.graph.output] == [v.name for v in model.model.graph.output]
        assert model.model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("kind", sorted(Float32Rewrite.translations.keys() - {"Sign"}))
@pytest.mark.parametrize("network", NETWORKS)
def test_an_operator_without_a_fast_form_is_rewritten_as_its_body(
    network: Callable[[], tuple[Artifact, Array]], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new operator needs no translation."""
    translations = {**Float32Rewrite.translations}
    del translations[kind]
    monkeypatch.setattr(Float32Rewrite, "translations", translations)
    test_engines_equal_the_reference("onnxruntime-fp32", network)
    rewrite = rewrite_in_float32(network()[0])
    assert {node.domain for node in rewrite.graph.node} == {""}
    assert not rewrite.functions


def test_float32_rewrite_refuses_an_operator_that_takes_signs() -> None:
    a = ArtifactBuilder()
    shifted = a.add("Add", a.sign("x"), a.constant(np.uint8(1)))
    with pytest.raises(UnsupportedError, match=r"'Add1' \(Add\) takes signs"):
        rewrite_in_float32(a.artifact((3,), shifted))


def test_float32_rewrite_refuses_an_unknown_binary_operator() -> None:
    graph = helper.make_graph(
        [helper.make_node("Ternary", ["x"], ["y"], "Ternary0", domain="bnnkit")],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, ["N", 3])],
    )
    with pytest.raises(UnsupportedError, match=r"'Ternary0' \(bnnkit.Ternary\)"):
        rewrite_in_float32(Artifact(helper.make_model(graph)))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 1, 8, 8), np.float32), r"uint8 of shape \(N, 1, 8, 8\), got float32"),
        (np.zeros((2, 8, 8), np.uint8), r"got uint8 of shape \(2, 8, 8\)"),
        (np.zeros((1, 8, 8), np.uint8), r"got uint8 of shape \(1, 8, 8\)"),
        (np.zeros((0, 1, 8, 8), np.uint8), "got no images"),
    ],
)
def test_inputs_are_checked(images: Array, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_engine("onnxruntime", _digits()[0]).check(images)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_must_be_finite(value: float) -> None:
    model, images = _real_input()
    images[2, 1, 0, 3] = value
    with pytest.raises(UsageError, match=r"got -?(nan|inf) in the input at index \[2, 1, 0, 3\]"):
        open_engine("onnxruntime", model).check(images)


def test_unknown_engine_and_no_threads() -> None:
    model, _ = _digits()
    with pytest.raises(UsageError, match=r"out of bnnkit, onnxruntime, .*, got 'tf'"):
        open_engine("tf", model)
    with pytest.raises(UsageError, match="expected 1 to 256 threads, got 0"):
        open_engine("bnnkit", model, threads=0)


def test_missing_onnxruntime_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bnnkit\[ort\]'"):
        open_engine("onnxruntime", _digits()[0])


@pytest.mark.parametrize("engine", engines_but())
def test_unknown_operator_is_unsupported(engine: str) -> None:
    model, _ = _digits()
    model.model.graph.node[-1].domain = "my.own"
    model.model.opset_import.append(helper.make_opsetid("my.own", 1))
    with pytest.raises(UnsupportedError, match="Gemm"):
        open_engine(engine, model)


@pytest.mark.parametrize("samples", [2, "auto"])
@pytest.mark.parametrize("engine", engines_but())
def test_samples_of_a_deterministic_file_are_refused(engine: str, samples: Samples) -> None:
    model, images = _digits()
    with pytest.raises(UsageError, match=r"deterministic.*: expected (no samples|samples=0)"):
        open_engine(engine, model).ensemble(images, EnsembleConfig(samples=samples))


@pytest.mark.parametrize("engine", ["reference", "onnxruntime", "bnnkit"])
def test_a_sample_of_a_deterministic_file_is_refused(engine: str) -> None:
    model, images = _digits()
    opened = open_engine(engine, model)
    assert isinstance(opened, SamplingEngine)
    for method in (opened.run, opened.trace):
        with pytest.raises(UsageError, match="the file is deterministic"):
            method(images, Sample())


@pytest.mark.parametrize("engine", ["reference", "onnxruntime", "bnnkit"])
def test_an_ensemble_is_the_mean_of_its_samples(engine: str) -> None:
    model, images = noisy_digits_like()
    opened = open_engine(engine, _with_functions(model))
    assert isinstance(opened, SamplingEngine)
    config = EnsembleConfig(samples=4, seed=8, antithetic=True)
    found = opened.ensemble(images, config, image_offset=100)
    passes = [
        opened.run(images, Sample(seed=8, index=index, image_offset=100, antithetic=True))[0]
        for index in range(4)
    ]
    exponential = np.exp(np.stack(passes).astype(np.float64))
    p = exponential / exponential.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(found.probabilities, p.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.entropy, entropy(p.mean(axis=0)), atol=1e-6)
    information = entropy(p.mean(axis=0)) - entropy(p).mean(axis=0)
    np.testing.assert_allclose(found.mutual_information, information, atol=1e-6)
    np.testing.assert_array_equal(found.samples, np.full(64, 4))
    predicted = opened.ensemble(images, config).probabilities
    assert (predicted != found.probabilities).any()  # of other images


@pytest.mark.parametrize("engine", ["reference", "onnxruntime"])
def test_samples_of_a_batch_that_the_file_fixes(engine: str) -> None:
    model, images = noisy_digits_like()
    _with_functions(model)
    config = EnsembleConfig(samples=3, seed=1)
    expected = open_engine("bnnkit", model).ensemble(images[:6], config).probabilities
    model.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    fixed = Artifact(model.model)
    found = open_engine(engine, fixed).ensemble(images[:6], config).probabilities
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"samples": -1}, "expected 0 to 1024 samples, got -1"),
        ({"samples": 1025}, "expected 0 to 1024 samples, got 1025"),
        ({"samples": True}, "expected 0 to 1024 samples, got True"),
        ({"seed": -1}, r"seed from 0 to 2\^64 - 1, got -1"),
        ({"seed": 2**64}, r"seed from 0 to 2\^64 - 1"),
        ({"samples": "auto", "error_rate": 0.0}, "error_rate between 0 and 1, got 0.0"),
        ({"samples": "auto", "max_samples": 0}, "expected max_samples from 1 to 1024, got 0"),
        (
            {"samples": "auto", "max_samples": 1025},
            "expected max_samples from 1 to 1024, got 1025",
        ),
    ],
)
def test_what_cannot_be_averaged_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EnsembleConfig(**given)


@pytest.mark.parametrize("engine", engines_but("bnnkit"))
def test_a_batch_that_the_file_fixes(engine: str) -> None:
    model, images = _digits()
    free = open_engine(engine, model)
    expected, signs = free.run(images[:6])[0], free.trace(images[:6])
    model.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    opened = open_engine(engine, Artifact(model.model))
    np.testing.assert_allclose(opened.run(images[:6])[0], expected, rtol=0, atol=1e-4)
    for name, values in signs.items():
        np.testing.assert_array_equal(opened.trace(images[:6])[name], values)
    message = "batch axis of the model is fixed at 2: expected a multiple of 2 images"
    with pytest.raises(UsageError, match=message):
        opened.run(images[:5])


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (
            "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Pad node."
            " Name:'Pad2' Status Message: /src/onnxruntime/core/pad.cc:818 virtual Status Pad()",
            "Non-zero status code returned while running Pad node",
        ),
        (
            "[ONNXRuntimeError] : 10 : INVALID_GRAPH : This is an invalid model. Type Error: Type"
            " 'tensor(uint8)' of input parameter (c) is invalid.",
            "Type Error: Type 'tensor(uint8)' of input parameter (c) is invalid",
        ),
        (
            "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization:"
            " /src/onnxruntime/core/a.h:91 Helper::Helper(const TensorShape&) was false",
            "Exception during initialization",
        ),
    ],
)
def test_of_a_message_the_first_sentence_is_kept(
    said: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    def refuse(*arguments: object, **options: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(UnsupportedError) as caught:
        open_engine("onnxruntime", _digits()[0])
    assert str(caught.value) == f"onnxruntime cannot open the model: {kept}"


def test_with_outputs_leaves_the_model() -> None:
    model, _ = _digits()
    name = model.model.graph.node[1].output[0]
    extended = with_outputs(model.model, [name, model.model.graph.output[0].name])
    assert [v.name for v in extended.graph.output] == [model.model.graph.output[0].name, name]
    assert len(model.model.graph.output) == 1
