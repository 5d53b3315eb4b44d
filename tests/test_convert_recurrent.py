"""Recurrent layers in torch's own ONNX files: steps first, zeros for the batch as first states."""

import io
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exporter_cache import ask_torch
from onnx_graphs import network, operators, run
from torch import nn

from bnnkit.errors import UnsupportedError
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model

RNG = np.random.default_rng(0)


def constants(directions: int = 1) -> dict[str, Any]:
    def drawn(*shape: int) -> Any:
        return RNG.normal(size=shape).astype(np.float32)

    return {
        "b": RNG.choice([-1.0, 1.0], (6, 3)).astype(np.float32),
        "w": drawn(directions, 20, 3), "r": drawn(directions, 20, 5), "s": drawn(directions, 40),
        "at": np.array([1]), "end": np.array([2]), "count": np.array([directions]),
        "units": np.array([5]), "rows": np.array([0, 0, -1]),
    }  # fmt: skip


def graph(state: str = "zero") -> str:
    return (
        "p = GreaterOrEqual(x, zero) q = Where(p, one, minus) m = MatMul(q, b) "
        "f = Transpose<perm = [1, 0, 2]>(m) h = Shape(f) n = Slice(h, at, end) "
        f"k = Concat<axis = 0>(count, n, units) e = Expand({state}, k) "
        'o, c, d = LSTM<hidden_size = 5, direction = "bidirectional">(f, w, r, s, , e, e) '
        "i = Transpose<perm = [0, 2, 1, 3]>(o) j = Reshape(i, rows) "
        "y = Transpose<perm = [1, 0, 2]>(j)"
    )


TYPES = ("float[N, 7, 6] x", "float[N, 7, 10] y")


def test_zeros_for_each_image_are_left_out() -> None:
    source = network(graph(), *TYPES, constants(2))
    artifact, _ = from_onnx(source)
    assert {"BinaryConv2d", "LSTM"} <= set(operators(artifact.model))
    for count in (1, 4):
        x = RNG.normal(size=(count, 7, 6)).astype(np.float32)
        want = run(source, x)
        np.testing.assert_allclose(run(artifact.model, x), want, rtol=0, atol=1e-6)
        np.testing.assert_allclose(Model(artifact).run(x), want, rtol=0, atol=1e-6)


def test_other_numbers_for_each_image_are_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"LSTM.* depends on the number of images"):
        from_onnx(network(graph("half"), *TYPES, constants(2)))


def test_a_fixed_batch_that_is_lost_says_what_to_export() -> None:
    """Attention over (T, N, C): (7, 1, 6) becomes (7, 2, 3), which could be any batch."""
    body = (
        "p = GreaterOrEqual(x, zero) q = Where(p, one, minus) m = MatMul(q, b) "
        "f = Transpose<perm = [1, 0, 2]>(m) g = Reshape(f, heads) h = Softmax<axis = -1>(g) "
        "i = Reshape(h, whole) y = Transpose<perm = [1, 0, 2]>(i)"
    )
    numbers = {
        "b": RNG.choice([-1.0, 1.0], (6, 6)).astype(np.float32),
        "heads": np.array([7, 2, 3]), "whole": np.array([7, 1, 6]),
    }  # fmt: skip
    fixed = network(body, "float[1, 7, 6] x", "float[1, 7, 6] y", numbers)
    with pytest.raises(UnsupportedError, match=r"with a free batch: dynamic_shapes="):
        from_onnx(fixed)


class Tagger(nn.Module):
    """A binary layer of tokens, then a recurrent one."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 3).sign())
        self.steps = getattr(nn, kind)(3, 5, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        signs = torch.where(x >= 0, 1.0, -1.0)
        states: torch.Tensor = self.steps(signs @ self.weight)[0]
        return states.mean(1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "dynamo"),
    [
        *[("LSTM", True), ("GRU", True), ("RNN", True)],
        *[("LSTM", False), ("GRU", False), ("RNN", False)],
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_files_of_torchs_exporters(kind: str, dynamo: bool) -> None:
    torch.manual_seed(0)
    net, x, file = Tagger(kind).eval(), torch.randn(3, 7, 6), io.BytesIO()
    free: dict[str, Any] = (
        {"dynamic_shapes": {"x": {0: torch.export.Dim("batch")}}}
        if dynamo
        else {"dynamic_axes": {"x": {0: "batch"}}}
    )
    to: Any = None if dynamo else file
    program = ask_torch(net, (x,), f=to, input_names=["x"], dynamo=dynamo, **free)
    source = program.model_proto if program is not None else onnx.load_from_string(file.getvalue())
    artifact, _ = from_onnx(source)
    with torch.no_grad():
        want = net(x).numpy()
    np.testing.assert_allclose(Model(artifact).run(x.numpy()), want, rtol=0, atol=1e-6)
