"""A stochastic network is planned twice and more, and holds its weights once."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from artifacts import ArtifactBuilder, noisy_digits_like
from numpy.typing import NDArray

from bnnkit.runtime.lowering.lower import lower
from bnnkit.runtime.memory.shared_weights import SharedWeights
from bnnkit.runtime.steps.convolution import Convolution
from bnnkit.runtime.steps.depthwise import Depthwise


def weights_of(steps: Iterable[object]) -> list[NDArray[Any]]:
    return [step.weights for step in steps if isinstance(step, Convolution | Depthwise)]


def test_the_plans_of_a_stochastic_network_share_all_weights() -> None:
    artifact, _ = noisy_digits_like()
    shared = SharedWeights()
    sampled = weights_of(lower(artifact.graph, 0, shared).steps)
    plain = weights_of(lower(artifact.deterministic.graph, 0, shared).steps)
    assert len(sampled) == len(plain) > 4
    for one, other in zip(sampled, plain, strict=True):
        assert one is other


def test_a_depthwise_layer_shares_its_weights() -> None:
    a = ArtifactBuilder()
    weight = a.constant(np.ones((4, 1, 3, 3), np.float32))
    graph = a.artifact((4, 8, 8), a.add("Conv", "x", weight, group=4)).graph
    shared = SharedWeights()
    (one,), (other,) = (weights_of(lower(graph, 0, shared).steps) for _ in range(2))
    assert one is other


@pytest.mark.parametrize(
    "other",
    [
        np.arange(1, 9, dtype=np.uint8),
        np.arange(8, dtype=np.uint8).reshape(2, 4),
        np.arange(8, dtype=np.int8),
    ],
)
def test_other_weights_are_not_shared(other: NDArray[Any]) -> None:
    shared = SharedWeights()
    first = np.arange(8, dtype=np.uint8)
    assert shared.shared(first) is first
    assert shared.shared(other) is other
    assert shared.shared(first.copy()) is first
