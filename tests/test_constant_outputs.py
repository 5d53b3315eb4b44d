"""Outputs that do not depend on the images, and numbers that depend on how many there are."""

import numpy as np
import onnx
import pytest
from artifacts import noisy_digits_like
from onnx import helper, numpy_helper
from onnx_graphs import network, run

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.sample import Sample
from bnnkit.errors import UnsupportedError
from bnnkit.runtime import Model

CONSTANTS = {
    "k": np.arange(3, dtype=np.float32),
    "i0": np.array([0]),
    "i1": np.array([1]),
    "rest": np.array([2, 2]),
}
X = np.random.default_rng(0).normal(size=(70, 4)).astype(np.float32)  # more than one chunk
OUTPUTS = {
    "computed constant": ("y = Relu(x) z = Add(k, k)", "float[N, 4] y, float[3] z"),
    "initializer": ("y = Relu(x)", "float[N, 4] y, float[3] k"),
    "nothing else": ("z = Neg(k)", "float[3] z"),
    "the input": ("y = Relu(x)", "float[N, 4] x, float[N, 4] y"),
    "one output twice": ("y = Relu(x)", "float[N, 4] y, float[N, 4] y"),
    "fixed sizes": ("s = Shape<start = 1>(x) y = Relu(x)", "float[N, 4] y, int64[1] s"),
    "a size as a number": (
        "s = Shape(x) n = Gather(s, i1) f = Cast<to = 1>(n) y = Div(x, f)",
        "float[N, 4] y",
    ),
    "the batch as a size": (
        "s = Shape(x) n = Gather(s, i0) m = Concat<axis = 0>(n, rest) y = Reshape(x, m)",
        "float[N, 2, 2] y",
    ),
}


@pytest.mark.parametrize("form", OUTPUTS)
def test_outputs_of_every_kind(form: str) -> None:
    body, outputs = OUTPUTS[form]
    model = network(body, "float[N, 4] x", outputs, CONSTANTS)
    got = Model(Artifact(model)).run(X)
    results = got if isinstance(got, tuple) else (got,)
    assert len(results) == len(model.graph.output)
    for result, value in zip(results, model.graph.output, strict=True):
        alone = onnx.ModelProto.FromString(model.SerializeToString())
        del alone.graph.output[:]
        alone.graph.output.append(value)
        np.testing.assert_array_equal(result, run(alone, X), strict=True)


REFUSED = {
    "a number": ("s = Shape(x) n = Gather(s, i0) f = Cast<to = 1>(n) y = Div(x, f)", "Div"),
    "an output": ("y = Shape(x)", "the output 'y'"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_the_number_of_images_is_refused(form: str) -> None:
    """A batch is computed in chunks, so it would be the number of images of a chunk."""
    body, words = REFUSED[form]
    outputs = "int64[2] y" if form == "an output" else "float[N, 4] y"
    model = network(body, "float[N, 4] x", outputs, CONSTANTS)
    with pytest.raises(UnsupportedError, match=f"{words}.* depends on the number of images"):
        Model(Artifact(model))


def test_a_constant_output_of_a_stochastic_network() -> None:
    artifact, images = noisy_digits_like()
    model = onnx.ModelProto.FromString(artifact.model.SerializeToString())
    model.graph.initializer.append(numpy_helper.from_array(CONSTANTS["k"], "k"))
    model.graph.output.append(helper.make_tensor_value_info("k", onnx.TensorProto.FLOAT, [3]))
    plain, more = Model(artifact), Model(Artifact(model))
    for got, want in (
        (more.run(images), plain.run(images)),
        (more.run_sample(images, Sample(index=2)), plain.run_sample(images, Sample(index=2))),
    ):
        scores, constant = got
        np.testing.assert_array_equal(scores, want)
        np.testing.assert_array_equal(constant, CONSTANTS["k"])
    for samples in (0, 3):
        probabilities, constant = more.predict(images, samples=samples)
        np.testing.assert_array_equal(probabilities, plain.predict(images, samples=samples))
        np.testing.assert_array_equal(constant, np.tile(CONSTANTS["k"], (len(images), 1)))
