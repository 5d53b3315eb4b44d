"""The bodies of Philox, StochasticSign and WeightDraw, in ONNX Runtime and ONNX's reference."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.helper
import onnx.inliner
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from philox_answers import KNOWN_ANSWERS, words

from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.operators import OPERATORS, functions
from bnnkit.artifact.operators.noise import draw
from bnnkit.artifact.operators.philox import philox4x32

Array = NDArray[Any]

WORDS = ["w0", "w1", "w2", "w3"]


def model_of(
    op: str, inputs: Mapping[str, Array], outputs: Sequence[str], like: Array, **attributes: Any
) -> onnx.ModelProto:
    """One node; its inputs are the graph's, with free sizes; outputs have type and rank of one."""
    node = onnx.helper.make_node(op, list(inputs), outputs, domain="bnnkit", **attributes)
    value = onnx.helper.make_tensor_value_info
    element = onnx.helper.np_dtype_to_tensor_dtype
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [value(name, element(x.dtype), [None] * x.ndim) for name, x in inputs.items()],
        [value(name, element(like.dtype), [None] * like.ndim) for name in outputs],
    )
    model = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("bnnkit", 1)],
        functions=[functions.function(name) for name in (op, *OPERATORS[op].needs)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def results(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> list[list[Array]]:
    """The outputs, in ONNX Runtime and in ONNX's reference."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    session = ort.InferenceSession(model.SerializeToString(), options, providers=providers)
    # ONNX's reference does not look for functions in the branch of an If.
    plain = ReferenceEvaluator(onnx.inliner.inline_local_functions(model))
    engines: tuple[Any, ...] = (session, plain)
    return [list(engine.run(None, dict(inputs))) for engine in engines]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers(counter: str, key: str, answer: str) -> None:
    numbers = [np.array([word], np.uint32) for word in words(f"{counter} {key}")]
    inputs = dict(zip(["c0", "c1", "c2", "c3", "k0", "k1"], numbers, strict=True))
    model = model_of("Philox", inputs, WORDS, numbers[0])
    for got in results(model, inputs):
        assert [int(word[0]) for word in got] == words(answer)


def test_philox_broadcasts() -> None:
    rng = np.random.default_rng(0)
    shapes = {"c0": (5,), "c1": (), "c2": (1, 1), "c3": (3, 1), "k0": (), "k1": ()}
    inputs: dict[str, Array] = {
        name: rng.integers(0, 2**32, shape, np.uint32) for name, shape in shapes.items()
    }
    c0, c1, c2, c3, k0, k1 = inputs.values()
    want = philox4x32((c0, c1, c2, c3), (int(k0), int(k1)))
    model = model_of("Philox", inputs, WORDS, np.zeros((3, 5), np.uint32))
    for got in results(model, inputs):
        for mine, word in zip(got, want, strict=True):
            np.testing.assert_array_equal(mine, word)


def stochastic_sign(
    shape: tuple[int, ...], layer: int
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The model, and inputs without a sample; sums that hit their limits are among them."""
    rng = np.random.default_rng(1)
    column = (shape[1], *[1] * (len(shape) - 2))
    inputs: dict[str, Array] = {
        "x": rng.integers(-3, 4, shape).astype(np.float32),
        "threshold": rng.integers(-2, 3, column).astype(np.float32),
        "scale": rng.uniform(0.1, 3, column).astype(np.float32),
        "table": np.sort(rng.normal(size=4096)).astype(np.float32),
        "seed": np.array(0, np.uint64),
        "image_offset": np.array(0),
        "sample": np.array(-1),
        "antithetic": np.array(False),
    }
    return model_of(
        "StochasticSign", inputs, ["y"], np.zeros(shape, np.uint8), layer=layer
    ), inputs


SAMPLES = [
    Sample(),
    Sample(seed=2**64 - 1, index=2**32 - 1, image_offset=2**32 - 3),
    Sample(seed=2**33 + 5, index=6, image_offset=7, antithetic=True),
    Sample(seed=2**33 + 5, index=7, image_offset=7, antithetic=True),
]


@pytest.mark.parametrize("shape", [(3, 70, 2, 5), (2, 64, 1, 1), (3, 1, 3), (2, 129), (1, 1)])
def test_stochastic_signs_are_those_of_the_definition(shape: tuple[int, ...]) -> None:
    model, inputs = stochastic_sign(shape, layer=3)
    for sample in SAMPLES:
        chosen = {
            "seed": np.array(sample.seed, np.uint64),
            "image_offset": np.array(sample.image_offset),
            "sample": np.array(sample.index),
            "antithetic": np.array(sample.antithetic),
        }
        z = draw(shape, 3, inputs["table"], sample)
        want = np.where(inputs["x"] >= inputs["threshold"] + inputs["scale"] * z, 2, 0)
        for (got,) in results(model, inputs | chosen):
            assert got.dtype == np.uint8
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("shape", [(3, 7, 2, 5), (2, 12)])
def test_without_a_sample_there_is_no_noise(shape: tuple[int, ...]) -> None:
    model, inputs = stochastic_sign(shape, layer=0)
    for (got,) in results(model, inputs):
        np.testing.assert_array_equal(got, np.where(inputs["x"] >= inputs["threshold"], 2, 0))


@pytest.mark.parametrize(("sample", "row"), [(-1, 0), (0, 1), (2, 3), (3, 1), (10, 2)])
def test_weight_draw_takes_its_row(sample: int, row: int) -> None:
    weights = np.random.default_rng(2).integers(0, 256, (4, 33), np.uint8)
    inputs: dict[str, Array] = {"weights": weights, "sample": np.array(sample)}
    model = model_of("WeightDraw", inputs, ["weight"], weights[0])
    for (got,) in results(model, inputs):
        np.testing.assert_array_equal(got, weights[row])
