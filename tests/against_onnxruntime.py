"""The runtime's results against those of onnxruntime."""

import numpy as np
import pytest
from artifacts import Array, ArtifactBuilder

from bnnkit.artifact.artifact import Artifact
from bnnkit.runtime import Model

ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

TOLERANCE = 1e-5  # float32 sums of at most some hundred numbers, taken in another order


def onnxruntime(artifact: Artifact, x: Array) -> list[Array]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        artifact.to_bytes(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {"x": x}))


def assert_close(a: ArtifactBuilder, x: Array, *outputs: str, exact: bool = False) -> None:
    model = a.artifact(x.shape[1:], *outputs)
    want, got = onnxruntime(model, x), Model(model).run(x)
    got = got if isinstance(got, tuple) else (got,)
    for w, g in zip(want, got, strict=True):
        assert (w.dtype, w.shape) == (g.dtype, g.shape)
        if exact:
            np.testing.assert_array_equal(g, w)
        else:
            np.testing.assert_allclose(g, w, atol=TOLERANCE, rtol=TOLERANCE)


def numbers(a: ArtifactBuilder, *shape: int) -> Array:
    x: Array = a.rng.standard_normal((3, *shape)).astype(np.float32)
    return x
