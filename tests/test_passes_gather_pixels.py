"""Pixels of maps at constant places, as `x[:, :, rows, columns]` in torch."""

import numpy as np
import pytest
import torch
from onnx_graphs import network, operators, run
from torch import nn

import bnnkit.nn as bnn
from bnnkit.errors import UnsupportedError
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.runtime import Model

RNG = np.random.default_rng(0)
PLACES = RNG.integers(-4, 4, (3, 2, 2))


def test_windows_of_different_sizes() -> None:
    model = nn.Sequential(
        bnn.Sign(noise="none"), bnn.BinaryConv2d(3, 8, 3), nn.AdaptiveAvgPool2d((4, 3))
    ).eval()
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    artifact = from_torch(model, x)
    assert "GatherND" not in operators(artifact.model)
    with torch.no_grad():
        want = model(x).numpy()
    np.testing.assert_allclose(Model(artifact).run(x.numpy()), want, rtol=0, atol=1e-6)


CONSTANTS = {"places": PLACES, "w": RNG.choice([-1.0, 1.0], (4, 6, 3, 3)).astype(np.float32)}
BODY = (
    "g = GreaterOrEqual(x, zero) s = Where(g, one, minus) c = Conv(s, w) "
    "q = Transpose<perm = [2, 3, 0, 1]>(c) p = GatherND(q, places) "
)
TYPES = ("float[N, 6, 6, 6] x", "float[N, A, B, C] y")


def test_places_that_are_constant() -> None:
    source = network(f"{BODY} y = Transpose<perm = [2, 3, 0, 1]>(p)", *TYPES, CONSTANTS)
    artifact, _ = from_onnx(source)
    assert "GatherND" not in operators(artifact.model)
    x = RNG.normal(size=(3, 6, 6, 6)).astype(np.float32)
    want = run(source, x)
    np.testing.assert_array_equal(run(artifact.model, x), want)
    np.testing.assert_array_equal(Model(artifact).run(x), want)


def test_another_order_is_refused_by_name() -> None:
    body = f"{BODY} u = Transpose<perm = [2, 0, 1, 3]>(p) y = Transpose<perm = [0, 3, 1, 2]>(u)"
    with pytest.raises(UnsupportedError, match="keep the batch as first axis"):
        from_onnx(network(body, *TYPES, CONSTANTS))
