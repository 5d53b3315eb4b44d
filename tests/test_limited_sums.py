"""Sums of signs that are limited and shifted before they are scaled, as LCE's layers do."""

import numpy as np
import pytest
from artifacts import Array, ArtifactBuilder
from onnx import TensorProto

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.reference import Reference
from bnnkit.runtime import Model
from bnnkit.runtime.plan import Plan

LIMITS: dict[str, tuple[float, float] | None] = {
    "none": None,
    "relu6": (0.0, 6.0),
    "-1 to 1": (-1.0, 1.0),
    "half": (-0.5, 0.5),
}


def layer(a: ArtifactBuilder, limits: str, shift: float | None, outputs: int = 37) -> str:
    sums = a.binary_conv2d(a.sign("x"), 40, outputs, 3, thresholds=False, pads=(1, 1, 1, 1))
    name = a.add("Cast", sums, to=TensorProto.FLOAT)
    if limits == "relu":
        name = a.add("Relu", name)
    elif (bounds := LIMITS[limits]) is not None:
        name = a.add("Clip", name, *(a.constant(np.float32(bound)) for bound in bounds))
    if shift is not None:
        name = a.add("Add", name, a.constant(np.float32(shift)))
    numbers: list[Array] = [a.rng.standard_normal((outputs, 1, 1)) for _ in range(2)]
    scale, bias = (a.constant(n.astype(np.float32)) for n in numbers)
    return a.add("Add", a.add("Mul", name, scale), bias)


def assert_equal(model: Artifact) -> None:
    x = np.random.default_rng(0).standard_normal((3, 40, 6, 5)).astype(np.float32)
    (want,) = Reference(model).run(x)
    for threads in (1, 2):
        np.testing.assert_array_equal(Model(model).run(x, threads=threads), want)


@pytest.mark.parametrize("limits", ["relu", *LIMITS])
@pytest.mark.parametrize("shift", [None, -360.0, 7.0, 0.25])
def test_limits_and_shifts(limits: str, shift: float | None) -> None:
    a = ArtifactBuilder(1)
    model = a.artifact((40, 6, 5), layer(a, limits, shift))
    assert_equal(model)
    steps = [type(step).__name__ for step in Plan(model.graph).steps]
    is_whole = limits != "half" and shift != 0.25
    assert (steps[-1] == "Convolution") == is_whole  # all in the epilogue, or a chain behind it


def test_what_something_else_reads_is_kept() -> None:
    a = ArtifactBuilder(2)
    out = layer(a, "relu", -360.0)
    relu = next(node.output[0] for node in a.nodes if node.op_type == "Relu")
    model = a.artifact((40, 6, 5), out, relu)
    x = a.rng.standard_normal((2, 40, 6, 5)).astype(np.float32)
    for got, want in zip(Model(model).run(x), Reference(model).run(x), strict=True):
        np.testing.assert_array_equal(got, want)
