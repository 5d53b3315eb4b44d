"""The runtime's kernels of activations with few bits, against the file's own operators."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_graphs import network, run

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.reference import Reference
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model
from bnnkit.runtime.lowering.kernel_forms import forms_of_this_cpu
from bnnkit.runtime.lowering.lower import lower
from bnnkit.runtime.steps.convolution import Convolution
from bnnkit.runtime.steps.planes import PackLevels, PlaneConvolution

pytestmark = pytest.mark.slow

IS_POPCOUNT = forms_of_this_cpu().binary == "popcount"


def quantized(x: str, y: str, bits: int, signed: bool) -> str:
    """QONNX's quantizer with the step 1/2."""
    name = "qonnx.custom_op.general.Quant"
    return f"{y} = {name}<signed = {int(signed)}, narrow = 0>({x}, half, zero, bits_{bits})"


def artifact_of(
    seed: int,
    bits: tuple[int, int],
    channels: tuple[int, int],
    *,
    size: int = 9,
    signed: bool = False,
    pool: str = "",
    conv: str = "pads = [1, 1, 1, 1]",
    dense: bool = False,
) -> Artifact:
    """Levels, a convolution, a batch norm with signs of both kinds, levels, and a layer."""
    rng = np.random.default_rng(seed)
    inner = -(-(size + 2 - 2) // 2) if "strides" in conv else size
    inner = inner if not pool else inner // 2
    outputs = 5
    constants: dict[str, Any] = {
        "w": rng.choice([-1.0, 1.0], (channels[1], channels[0], 3, 3)),
        "v": rng.choice([-1.0, 1.0], (outputs, channels[1], 3, 3)),
        "u": rng.choice([-1.0, 1.0], (channels[1] * inner**2, outputs)),
        "scale": rng.choice([-0.25, 0.125, 0.0], (channels[1], 1, 1), p=[0.4, 0.5, 0.1]),
        "shift": rng.normal(size=(channels[1], 1, 1)),
        **{f"bits_{n}": n for n in (1, 2, 3, 4)},
    }
    constants = {name: np.asarray(c, np.float32) for name, c in constants.items()}
    maximum = "q = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>"
    before = f"{maximum}(c) m = Mul(q, scale) a = Add(m, shift)"
    behind = f"m = Mul(c, scale) s = Add(m, shift) {maximum}(s) a = Identity(q)"
    plain = "m = Mul(c, scale) a = Add(m, shift)"
    last = "f = Flatten(e) y = MatMul(f, u)" if dense else "y = Conv<pads = [1, 0, 0, 1]>(e, v)"
    body = (
        f"{quantized('x', 'd', bits[0], signed)} c = Conv<{conv}>(d, w) "
        f"{ {'': plain, 'before': before, 'behind': behind}[pool] } "
        f"{quantized('a', 'e', bits[1], signed)} {last}"
    )
    y = f"float[N, {outputs}] y" if dense else f"float[N, {outputs}, H, W] y"
    x = f"float[N, {channels[0]}, {size}, {size}] x"
    return from_onnx(network(body, x, y, constants))[0]


STRIDES = "strides = [2, 2], pads = [0, 1, 1, 0]"
DILATIONS = "dilations = [2, 1], pads = [2, 1, 2, 1]"
CASES: dict[str, dict[str, Any]] = {
    "two bits": {"bits": (2, 2), "channels": (65, 64)},
    "few channels": {"bits": (2, 3), "channels": (3, 7), "signed": True},
    "three bits, vectors": {"bits": (3, 2), "channels": (64, 40), "dense": True},
    "four bits": {"bits": (4, 4), "channels": (20, 70), "pool": "before"},
    "pooled behind a batch norm": {"bits": (2, 2), "channels": (8, 129), "pool": "behind"},
    "odd map": {"bits": (2, 4), "channels": (8, 16), "pool": "before", "size": 7},
    "small map": {"bits": (3, 3), "channels": (130, 24), "size": 3},
    "strides": {
        "bits": (2, 2),
        "channels": (8, 24),
        "conv": STRIDES,
    },
    "signed levels": {"bits": (2, 2), "channels": (12, 36), "signed": True, "pool": "behind"},
    "dilation": {
        "bits": (2, 3),
        "channels": (70, 8),
        "conv": DILATIONS,
    },
}


@pytest.mark.parametrize("name", CASES)
def test_same_bits_as_the_operators_of_the_file(name: str) -> None:
    """For several batches and threads; the numbers are those of ONNX Runtime on the file."""
    artifact = artifact_of(len(name), **CASES[name])
    channels, size = CASES[name]["channels"][0], CASES[name].get("size", 9)
    x = np.random.default_rng(0).normal(size=(6, channels, size, size)).astype(np.float32)
    want = run(artifact.model, x)
    model = Model(artifact)
    np.testing.assert_array_equal(model.run(x), want)
    np.testing.assert_array_equal(model.run(x[:1], threads=3), want[:1])
    steps = lower(artifact.graph).steps
    assert any(isinstance(step, PackLevels) for step in steps)
    if IS_POPCOUNT:
        fused = [step for step in steps if isinstance(step, PlaneConvolution)]
        assert len(fused) == 2
        assert fused[0].levels is not None
        assert not any(isinstance(step, Convolution) for step in steps)


@pytest.mark.parametrize("kind", ["an output", "read by another node"])
def test_a_total_that_is_needed_is_stored(kind: str) -> None:
    """The levels of the total are then a step of their own."""
    proto = onnx.ModelProto()
    proto.CopyFrom(artifact_of(3, (2, 2), (16, 24)).model)
    makers = {name: node for node in proto.graph.node for name in node.output}
    last = [name for name in makers if "level1" in name][-1]
    total = makers[makers[last].input[0]].input[0]  # what the last thresholds compare
    if kind == "an output":
        proto.graph.output.append(onnx.helper.make_tensor_value_info(total, 1, None))
    else:
        proto.graph.node.append(onnx.helper.make_node("Relu", [total], ["relu"]))
        proto.graph.output.append(onnx.helper.make_tensor_value_info("relu", 1, None))
    x = np.random.default_rng(0).normal(size=(2, 16, 9, 9)).astype(np.float32)
    found = Model(Artifact(proto)).run(x)
    for got, want in zip(found, Reference(Artifact(proto)).run(x), strict=True):
        np.testing.assert_array_equal(got, want)


def test_other_forms_of_kernels_add_the_sums_of_planes() -> None:
    """Where no kernel multiplies several planes, each is a layer of its own."""
    graph = artifact_of(1, (2, 2), (16, 16)).graph
    forms = replace(forms_of_this_cpu(), binary="lookup")
    steps = lower(graph, forms=forms).steps
    assert sum(isinstance(step, Convolution) for step in steps) == 4
    assert sum(isinstance(step, PackLevels) for step in steps) == 2
