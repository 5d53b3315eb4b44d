"""An input that lies as (N, H, W, C)."""

import numpy as np
import pytest
from artifacts import ArtifactBuilder

from bnnkit.artifact.reference import Reference
from bnnkit.runtime import Model
from bnnkit.runtime.plan import Plan


@pytest.mark.parametrize("channels", [1, 3, 16, 21])
@pytest.mark.parametrize("readers", ["a convolution", "several"])
def test_the_transpose_is_a_copy(channels: int, readers: str) -> None:
    a = ArtifactBuilder(channels)
    x = a.add("Transpose", "x", perm=[0, 3, 1, 2])
    weight = a.constant(a.rng.integers(-9, 10, (33, channels, 3, 3)).astype(np.float32))
    outs = [a.add("Conv", x, weight, pads=[1, 2, 0, 1])]
    if readers == "several":
        outs += [a.sign(x), a.add("MaxPool", x, kernel_shape=[2, 2]), a.add("Relu", x)]
    model = a.artifact((5, 6, channels), *outs)
    steps = [type(step).__name__ for step in Plan(model.graph).steps]
    assert steps[:2] == ["FromChannelsLast", "Convolution"]
    images = a.rng.integers(-9, 10, (3, 5, 6, channels)).astype(np.float32)
    got = Model(model).run(images)
    for g, w in zip(
        got if isinstance(got, tuple) else (got,), Reference(model).run(images), strict=True
    ):
        np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize("perm", [[0, 2, 1, 3], [0, 3, 2, 1]])
def test_other_orders_are_moved(perm: list[int]) -> None:
    a = ArtifactBuilder(0)
    out = a.add("Relu", a.add("Transpose", "x", perm=perm))
    images = a.rng.standard_normal((2, 4, 5, 6)).astype(np.float32)
    model = a.artifact((4, 5, 6), out)
    np.testing.assert_array_equal(Model(model).run(images), Reference(model).run(images)[0])
