"""The softmax over channels as a kernel: the bits of the definition, for every width."""

import numpy as np
import pytest
from artifacts import ArtifactBuilder

from bnnkit.artifact.format.probabilities import softmax
from bnnkit.runtime import Model
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.steps.probabilities import SoftmaxOfChannels


@pytest.mark.parametrize("channels", [1, 3, 4, 10, 16, 17, 33, 100])
@pytest.mark.parametrize("size", [(), (3, 5)])
@pytest.mark.parametrize("threads", [1, 2])
def test_bits(channels: int, size: tuple[int, ...], threads: int) -> None:
    a = ArtifactBuilder(channels)
    shape = (channels, *size)
    scores = a.add("Relu", a.add("Mul", "x", a.constant(np.float32(-3))))
    artifact = a.artifact(shape, scores, a.add("Softmax", scores, axis=1))
    x = a.rng.standard_normal((3, *shape)).astype(np.float32) * np.float32(20)
    found, probabilities = Model(artifact).run(x, threads=threads)
    expected = np.moveaxis(softmax(np.moveaxis(found, 1, -1)), -1, 1)
    np.testing.assert_array_equal(probabilities, expected)
    assert any(isinstance(step, SoftmaxOfChannels) for step in Plan(artifact.graph).steps)
