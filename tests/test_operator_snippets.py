"""What torch users write around a binary layer: what the exporter writes, every engine runs.

Each network has a few snippets side by side, because torch's exporter takes most of the time.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from operator_snippets import LINE, MAP, SNIPPETS, VECTOR, Network, Snippet

import bnnkit.runtime as rt
from bnnkit.engines.ort import OnnxRuntime
from bnnkit.export import export_onnx, export_tflite
from bnnkit.runtime import open_artifact

Array = NDArray[Any]

TOLERANCE = 1e-4
"""Of real numbers, as they are summed in other orders; integers and signs are equal."""
PER_NETWORK = 10
QUICK = {"GELU()"}
"""The networks with these snippets are tested in every run."""


def networks() -> Iterator[Any]:
    for form in (MAP, LINE, VECTOR):
        for in_tflite in (True, False):
            found = [s for s in SNIPPETS if s.form == form and s.in_tflite == in_tflite]
            for start in range(0, len(found), PER_NETWORK):
                part = found[start : start + PER_NETWORK]
                names = [snippet.name for snippet in part]
                marks = [] if QUICK.intersection(names) else [pytest.mark.slow]
                yield pytest.param(part, id=", ".join(names), marks=marks)


def assert_equal(found: Any, expected: list[Array], snippets: list[Snippet]) -> None:
    results = list(found) if isinstance(found, list | tuple) else [found]
    assert len(results) == len(expected)
    for got, want in zip(results, expected, strict=True):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        is_sum = want.dtype.kind == "f" and (want == np.rint(want)).all()
        limit = 0 if want.dtype.kind != "f" or (is_sum and want.shape[1:] == (3,)) else TOLERANCE
        np.testing.assert_allclose(got, want, rtol=limit, atol=limit, err_msg=str(snippets))


@pytest.mark.parametrize("snippets", list(networks()))
def test_snippets(snippets: list[Snippet], tmp_path: Path) -> None:
    network = Network(snippets)
    x = torch.randn(3, *network.inputs, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = [y.numpy() for y in network(x)]
    path = tmp_path / "model.onnx"
    export_onnx(network, x, path)
    assert_equal(OnnxRuntime(open_artifact(path)).run(x.numpy()), expected, snippets)
    assert_equal(rt.load(path).run(x.numpy()), expected, snippets)
    if snippets[0].in_tflite:
        assert_tflite(path, x.numpy(), expected)


def assert_tflite(path: Path, x: Array, expected: list[Array]) -> None:
    """Compare the files for both kinds of interpreters, which bnnkit's runtime reads."""
    maps_last = [np.moveaxis(y, 1, -1) if y.ndim == 4 else y for y in (x, *expected)]
    for variant in ("lce", "builtin"):
        target = path.with_suffix(f".{variant}.tflite")
        export_tflite(open_artifact(path), target, variant=variant)
        assert_equal(rt.load(target).run(np.ascontiguousarray(maps_last[0])), maps_last[1:], [])
