"""What the outputs of a network hold, and what `predict` makes of it in every engine."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.artifact.format.sample import samples_between
from bnnkit.artifact.operators.functions import function, names
from bnnkit.engines import open_engine
from bnnkit.engines.engine import SamplingEngine
from bnnkit.errors import UsageError
from bnnkit.runtime import Model
from bnnkit.runtime.stopping import is_safe, is_safe_for_labels

Array = NDArray[Any]
WIDTH = 32
SEED = 3


def nodes(*lines: str) -> list[onnx.NodeProto]:
    """The nodes of lines such as "y = Softmax x | axis=1"."""
    made = []
    for line in lines:
        call, _, options = line.partition(" | ")
        results, _, (operator, *operands) = (
            *call.partition(" = ")[:2],
            call.split(" = ")[1].split(),
        )
        attributes = dict(option.split("=") for option in options.split())
        made.append(
            helper.make_node(
                operator,
                operands,
                results.split(", "),
                **{name: json.loads(value) for name, value in attributes.items()},
            )
        )
    return made


def network(
    *lines: str,
    k: int = 5,
    shape: tuple[int, ...] | None = (5,),
    metadata: dict[str, str] | None = None,
    **outputs: tuple[int, tuple[int, ...] | None],
) -> Artifact:
    """A noisy sign of the input, k sums of it in "s", and the lines, which compute "y"."""
    generator = np.random.default_rng(0)
    constants = {
        "t": np.zeros(WIDTH, np.float32),
        "r": np.ones(WIDTH, np.float32),
        "noise.logistic": np.sort(generator.logistic(size=4096)).astype(np.float32) / 2,
        "w": generator.standard_normal((k, WIDTH)).astype(np.float32) / 3,
        "scale": np.array(1, np.float32),
        "zero": np.array(1, np.uint8),
        "one": np.array(1, np.float32),
        "half": np.array(0.5, np.float32),
        "nought": np.array(0, np.float32),
        "axes": np.array([1]),
        "map": np.array([0, 4, 2, 3]),
    }
    sampling = {
        "sample": (TensorProto.INT64, np.array(-1)),
        "seed": (TensorProto.UINT64, np.array(0, np.uint64)),
        "image_offset": (TensorProto.INT64, np.array(0)),
        "antithetic": (TensorProto.BOOL, np.array(False)),
    }
    before = [
        helper.make_node(
            "StochasticSign",
            ["x", "t", "r", "noise.logistic", "seed", "image_offset", "sample", "antithetic"],
            ["codes"],
            name="sign",
            domain="bnnkit",
            layer=0,
        ),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["d"]),
        helper.make_node("Gemm", ["d", "w"], ["s"], transB=1),
    ]
    stated = outputs or {"y": (TensorProto.FLOAT, shape)}
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [*before, *nodes(*lines)],
        "g",
        [
            info("x", TensorProto.FLOAT, ["N", WIDTH]),
            *(info(name, element, []) for name, (element, _) in sampling.items()),
        ],
        [info(n, e, None if s is None else ["N", *s]) for n, (e, s) in stated.items()],
        [
            *(numpy_helper.from_array(a, name) for name, a in constants.items()),
            *(numpy_helper.from_array(a, name) for name, (_, a) in sampling.items()),
        ],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("bnnkit", 1)],
        ir_version=10,
        functions=[function(name) for name in names()],
    )
    helper.set_model_props(
        model, {"bnnkit.format": "1", "bnnkit.mode": "samples", **(metadata or {})}
    )
    return Artifact(model)


def inputs(n: int = 6) -> Array:
    return np.random.default_rng(1).standard_normal((n, WIDTH)).astype(np.float32)


def softmax(x: Array) -> Array:
    power = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(power / power.sum(axis=-1, keepdims=True))


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def same(x: Array) -> Array:
    return x


SOFTMAX_BY_HAND = ("e = Exp s", "n = ReduceSum e axes", "y = Div e n")
LOG_SOFTMAX_BY_HAND = ("e = Exp s", "n = ReduceSum e axes", "l = Log n", "y = Sub s l")
SIGMOID_BY_HAND = ("m = Neg s", "e = Exp m", "n = Add e one", "y = Div one n")
MAP = "m = Reshape s map"
PIXELS: dict[str, Any] = {"k": 24, "shape": (4, 2, 3)}
CASES: list[tuple[tuple[str, ...], dict[str, Any], str, Callable[[Array], Array]]] = [
    (("y = Identity s",), {}, "scores", softmax),
    (("y = Identity s",), {"shape": None}, "scores", softmax),
    (("y = Softmax s",), {}, "probabilities", same),
    (("p = Softmax s", "y = Identity p"), {}, "probabilities", same),
    (SOFTMAX_BY_HAND, {}, "probabilities", same),
    (("y = LogSoftmax s",), {}, "log-probabilities", np.exp),
    (("p = Softmax s", "y = Log p"), {}, "log-probabilities", np.exp),
    (LOG_SOFTMAX_BY_HAND, {}, "log-probabilities", np.exp),
    (("y = Sigmoid s",), {}, "label-probabilities", same),
    (SIGMOID_BY_HAND, {}, "label-probabilities", same),
    (("p = Sigmoid s", "y = Clip p nought half"), {}, "label-probabilities", same),
    (("p = Sigmoid s", "q = Sub one p", "y = Concat p q | axis=1"), {"shape": (10,)},
     "label-probabilities", same),
    (("p = Sigmoid s", "y = Mul p p"), {}, "label-probabilities", same),
    (("y = HardSigmoid s",), {}, "label-probabilities", same),
    (("p = Sigmoid s", "y = Log p"), {}, "label-log-probabilities", np.exp),
    ((MAP, "y = Softmax m | axis=1"), PIXELS, "label-probabilities", same),
    ((MAP, "y = LogSoftmax m | axis=1"), PIXELS, "label-log-probabilities", np.exp),
    ((MAP, "p = Softmax m | axis=1", "y = Log p"), PIXELS, "label-log-probabilities", np.exp),
    ((MAP, "e = Exp m", "n = ReduceSum e axes", "y = Div e n"), PIXELS, "label-probabilities",
     same),
    ((MAP, "l = ReduceLogSumExp m axes", "y = Sub m l"), PIXELS, "label-log-probabilities",
     np.exp),
    ((MAP, "y = LogSoftmax m"), PIXELS, "log-probabilities", np.exp),
    (("y = Clip s nought one",), {}, "values", same),
    (("y = Identity s",), {"k": 1, "shape": (1,)}, "values", same),
    (("y = Identity s",), {"k": 1, "shape": None}, "values", same),
    (("y = Squeeze s axes",), {"k": 1, "shape": ()}, "values", same),
    (("y = Sigmoid s",), {"k": 1, "shape": (1,)}, "label-probabilities", same),
    (("y = Unsqueeze s axes",), {"shape": (1, 5)}, "values", same),
    (("y = Identity s",), {"k": 1, "shape": (1,), "metadata": {"bnnkit.classes": '["a", "b"]'}},
     "log-odds", sigmoid),
    (("y = Identity s",), {"metadata": {"bnnkit.outputs": '["values"]'}}, "values", same),
    (("y = Identity s",), {"metadata": {"bnnkit.outputs": '["log-odds"]'}}, "log-odds", sigmoid),
    (("y = Identity s",), {"metadata": {"bnnkit.outputs": '["nonsense"]'}}, "scores", softmax),
    (("y = Identity s",), {"metadata": {"bnnkit.outputs": "[" * 9999}}, "scores", softmax),
]  # fmt: skip


def passes(artifact: Artifact, x: Array, count: int) -> list[Array]:
    """The first output of the plain reference in each sample."""
    reference = open_engine("reference", artifact)
    assert isinstance(reference, SamplingEngine)
    return [reference.run(x, sample)[0] for sample in samples_between(0, count, SEED, False)]


@pytest.mark.parametrize(("lines", "options", "kind", "apply"), CASES)
def test_what_an_output_holds(
    lines: tuple[str, ...], options: dict[str, Any], kind: str, apply: Callable[[Array], Array]
) -> None:
    assert network(*lines, **options).output_kinds == (kind,)


def test_the_logarithm_of_a_sum_of_powers_is_recognised() -> None:
    artifact = network("l = ReduceLogSumExp s axes", "y = Sub s l")
    assert artifact.output_kinds == ("log-probabilities",)


def test_a_circle_of_nodes_ends() -> None:
    artifact = network("y = Mul z z", "z = Mul y y")
    assert artifact.output_kinds == ("scores",)


@pytest.mark.parametrize(
    ("lines", "options", "kind", "apply"),
    [
        case
        if case[2] not in (before[2] for before in CASES[:index])
        else pytest.param(*case, marks=pytest.mark.slow)
        for index, case in enumerate(CASES)
    ],
)
def test_the_mean_in_every_engine(
    lines: tuple[str, ...], options: dict[str, Any], kind: str, apply: Callable[[Array], Array]
) -> None:
    artifact = network(*lines, **options)
    x = inputs()
    expected = np.mean([apply(output) for output in passes(artifact, x, 4)], axis=0)
    found = Model(artifact).predict(x, samples=4, seed=SEED)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    config = EnsembleConfig(samples=4, seed=SEED)
    for engine in ("onnxruntime", "reference"):
        other = open_engine(engine, artifact).ensemble(x, config)
        np.testing.assert_allclose(other.mean, expected, atol=1e-6)
    once = open_engine("reference", artifact).run(x)[0]
    np.testing.assert_allclose(Model(artifact).predict(x), apply(once), atol=1e-6)


def test_real_values_have_a_spread_and_no_probabilities() -> None:
    artifact = network("y = Identity s", k=1, shape=(1,))
    x = inputs()
    found = Model(artifact).ensemble(x, EnsembleConfig(samples=7, seed=SEED))
    np.testing.assert_allclose(found.spread, np.std(passes(artifact, x, 7), axis=0), atol=1e-6)
    assert (found.spread > 0).any()
    for name in ("probabilities", "entropy", "mutual_information", "class_probabilities"):
        with pytest.raises(UsageError, match="the file holds values"):
            getattr(found, name)
    alone = Model(artifact).ensemble(x, EnsembleConfig())
    assert not alone.spread.any()
    assert not alone.samples.any()


def test_labels_have_uncertainties_of_their_own() -> None:
    artifact = network("y = Sigmoid s")
    x = inputs()
    found = Model(artifact).ensemble(x, EnsembleConfig(samples=6, seed=SEED))
    p = np.array(passes(artifact, x, 6), np.float64)

    def entropy(q: Array) -> Array:
        return np.asarray(-q * np.log(q) - (1 - q) * np.log(1 - q))

    mean = p.mean(axis=0)
    np.testing.assert_allclose(found.entropy, entropy(mean), atol=1e-6)
    np.testing.assert_allclose(
        found.mutual_information, entropy(mean) - entropy(p).mean(axis=0), atol=1e-6
    )
    with pytest.raises(UsageError, match="expected an output of class scores"):
        _ = found.class_probabilities
    one = Model(network("y = Sigmoid s", k=1, shape=(1,))).ensemble(x, EnsembleConfig())
    np.testing.assert_allclose(one.class_probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(one.class_probabilities[:, 1], one.probabilities[:, 0])


def test_integers_are_voted_on() -> None:
    artifact = network("y = ArgMax s | axis=1 keepdims=0", y=(TensorProto.INT64, ()))
    assert artifact.output_kinds == ("integers",)
    x = inputs(40)
    votes = np.array(passes(artifact, x, 5))
    expected = [np.bincount(image).argmax() for image in votes.T]
    found = Model(artifact).predict(x, samples=5, seed=SEED)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int64


def test_each_of_several_outputs_gets_what_it_is() -> None:
    artifact = network(
        "a = Identity s", "b = ReduceMean s axes", "c = Sigmoid s",
        a=(TensorProto.FLOAT, (5,)), b=(TensorProto.FLOAT, (1,)), c=(TensorProto.FLOAT, (5,)),
    )  # fmt: skip
    assert artifact.output_kinds == ("scores", "values", "label-probabilities")
    x = inputs()
    reference = open_engine("reference", artifact)
    assert isinstance(reference, SamplingEngine)
    drawn = [reference.run(x, sample) for sample in samples_between(0, 3, SEED, False)]
    found = Model(artifact).predict(x, samples=3, seed=SEED)
    for index, apply in enumerate((softmax, same, same)):
        expected = np.mean([apply(outputs[index]) for outputs in drawn], axis=0)
        np.testing.assert_allclose(found[index], expected, atol=1e-6)


def test_auto_draws_until_every_output_is_safe() -> None:
    auto = EnsembleConfig(samples="auto", seed=SEED, max_samples=8)
    x = inputs(60)
    labels = Model(network("y = Sigmoid s", k=2, shape=(2,))).ensemble(x, auto)
    assert len(set(labels.samples)) > 1
    fixed = network("y = Sigmoid s", k=2, shape=(2,))
    for n in np.unique(labels.samples).tolist():
        some = labels.samples == n
        expected = np.mean(passes(fixed, x, n), axis=0)[some]
        np.testing.assert_allclose(labels.probabilities[some], expected, atol=1e-6)
    values = Model(network("y = Identity s", k=1, shape=(1,))).ensemble(x, auto)
    assert (values.samples == 8).all()
    plain = open_engine("reference", network("y = Identity s", k=1, shape=(1,)))
    np.testing.assert_allclose(plain.ensemble(x, auto).spread, values.spread, atol=1e-6)


def test_labels_are_safe_as_two_classes_are() -> None:
    p = np.random.default_rng(5).beta(0.4, 0.4, (500, 4, 1))
    as_classes = np.concatenate([p, 1 - p], axis=2)
    for rate in (0.01, 0.2):
        np.testing.assert_array_equal(
            is_safe_for_labels(p, 10, rate), is_safe(as_classes, 10, rate)
        )
    pair = np.random.default_rng(6).beta(0.4, 0.4, (500, 4, 2))
    each = is_safe_for_labels(pair[..., :1], 10, 0.1) & is_safe_for_labels(pair[..., 1:], 10, 0.1)
    assert (each | ~is_safe_for_labels(pair, 10, 0.1)).all()
    assert is_safe_for_labels(pair, 4, 1e-9).all()
