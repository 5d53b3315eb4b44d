"""Noisy signs of integer sums: the form that they take, and the same signs but for rounding."""

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx_ir.passes import common

from bnnkit.artifact.format.bits import pack_weight
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.operators.noise import draw
from bnnkit.artifact.reference import sampling_feeds
from bnnkit.errors import UnsupportedError
from bnnkit.export.assembly.assemble import with_functions
from bnnkit.export.ir.graph import constant, set_module_path
from bnnkit.export.passes.clean_up import remove_dead
from bnnkit.export.passes.compare_with_noise import compare_with_noise, noisy_thresholds_of
from bnnkit.export.passes.lower_signs import SignRecord, set_sign_record
from bnnkit.export.passes.noise_model import NoiseModel
from bnnkit.export.passes.sampling_inputs import add_sampling_inputs

HEAD = '<ir_version: 10, opset_import: ["" : 21, "bnnkit" : 1]>'
POOL = "MaxPool <kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 0, 1]>"
CONSTANTS = """float[3, 1, 1] step = {0.5, 2, 0}, float[3, 1, 1] mixed = {0.25, -0.5, 0},
    float[3, 1, 1] fall = {-0.25, -0.5, -0.125}, float[3, 1, 1] shift = {-1.5, 0.75, 0.3},
    float half = {0.5}"""
SUM = ["BinaryConv2d", "Cast"]
SAMPLE = Sample(seed=5, index=3, image_offset=2)


def model_of(chain: str, outputs: str = "") -> ir.Model:
    """A convolution of 3 channels, then `chain` from `a` to `r`, then a noisy sign."""
    packed = pack_weight(np.random.default_rng(0).choice([-1, 1], (3, 3, 3, 2)))
    weight = ", ".join(map(str, packed.tolist()))
    model = ir.from_onnx_text(
        f"{HEAD} g (uint8[N, 2, 7, 7] x) => (uint8[] y{outputs})"
        f"<{CONSTANTS}, uint8[7] w = {{{weight}}}>"
        "{ s = bnnkit.BinaryConv2d <strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1],"
        f" group = 1, weight_shape = [3, 3, 3, 2]> (x, w) a = Cast <to = 1> (s)"
        f" {chain} y = bnnkit.StochasticSign <layer = 4> (r) }}"
    )
    for output in model.graph.outputs:
        output.shape = None
    model.graph[0].outputs[0].shape = ir.Shape(["N", 3, 7, 7])
    model.graph[0].outputs[0].type = ir.TensorType(ir.DataType.INT32)
    common.ShapeInferencePass()(model)
    for node in model.graph:
        set_module_path(node, "act" if node.op_type == "StochasticSign" else "conv")
        if node.op_type == "StochasticSign":
            set_sign_record(node.outputs[0], SignRecord("act", "logistic"))
    return model


def lowered(chain: str, outputs: str = "") -> ir.Model:
    model = model_of(chain, outputs)
    add_sampling_inputs(model.graph)
    compare_with_noise(model.graph, NoiseModel())
    remove_dead(model.graph)
    return model


def run(model: ir.Model, feeds: dict[str, Any]) -> list[NDArray[Any]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it warns of inputs with a default
    content = with_functions(model).SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).choice(np.array([0, 2], np.uint8), (7, 2, 7, 7))
    found: list[NDArray[Any]] = session.run(None, {"x": x, **feeds})
    return found


def real_inputs(chain: str) -> NDArray[np.float32]:
    """What the sign is taken of, as the chain rounds it."""
    model = model_of(chain)
    sign = model.graph[-1]
    value = sign.inputs[0]
    assert value is not None
    model.graph.outputs[:] = [value]
    model.graph.remove(sign)
    value.shape = ir.Shape(["N", *[f"d{i}" for i in range(3)]])
    (found,) = run(model, {})
    return found


def assert_same_signs(chain: str, model: ir.Model) -> None:
    """Those of the real numbers, with the noise and without; never a tie here."""
    real = real_inputs(chain)
    table = NoiseModel().table("logistic")
    np.testing.assert_array_equal(run(model, {})[0], np.where(real >= 0, 2, 0))
    z = draw(real.shape, 4, table, SAMPLE)
    assert np.abs(real - z).min() > 1e-5
    got = run(model, sampling_feeds(SAMPLE))[0]
    np.testing.assert_array_equal(got, np.where(real >= z, 2, 0))


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize(
    ("chain", "between"),
    [
        ("p = Mul (a, step) r = Add (p, shift)", []),
        ("p = Mul (a, mixed) r = Sub (half, p)", []),
        ("p = Neg (a) q = Div (p, fall) b = Identity (q) r = Sub (b, shift)", []),
        (f"b = Mul (a, step) p = {POOL} (b) r = Add (p, shift)", ["MaxPool"]),
        (f"b = Mul (a, mixed) p = {POOL} (b) r = Add (p, shift)", ["MaxPool"]),
        (f"p = {POOL} (a) q = Mul (p, mixed) r = Add (q, shift)", ["MaxPool", "Mul"]),
        (f"b = Mul (a, fall) p = {POOL} (b) r = Sub (half, p)", ["MaxPool", "Mul"]),
        (
            f"p = {POOL} (a) b = Add (p, half) q = {POOL} (b) c = Mul (q, fall) r = Sub (c, half)",
            ["MaxPool", "MaxPool", "Mul"],
        ),
    ],
)
def test_signs_of_sums(chain: str, between: list[str]) -> None:
    model = lowered(chain)
    assert operators(model) == [*SUM, *between, "StochasticSign"]
    sign = model.graph[-1]
    threshold, scale = constant(sign, 1), constant(sign, 2)
    assert threshold.shape == scale.shape == (3, 1, 1)
    limits = noisy_thresholds_of(sign)
    assert limits is not None
    np.testing.assert_array_equal(limits.threshold, threshold.ravel())
    for node in model.graph:
        if node.op_type == "Mul":
            assert set(constant(node, 1).ravel()) <= {-1.0, 1.0}
    assert_same_signs(chain, model)


@pytest.mark.parametrize(
    "chain",
    [
        "p = Mul (a, step) q = Relu (p) r = Add (q, shift)",
        f"p = {POOL} (a) b = Mul (p, fall) q = {POOL} (b) r = Add (q, half)",
        "p = Mul (a, a) r = Sub (p, half)",
    ],
)
def test_other_signs_are_of_real_numbers(chain: str) -> None:
    model = lowered(chain)
    assert operators(model) == operators(model_of(chain))
    sign = model.graph[-1]
    assert noisy_thresholds_of(sign) is None
    assert constant(sign, 1).tolist() == [[[0.0]]] * 3
    assert constant(sign, 2).tolist() == [[[1.0]]] * 3
    assert_same_signs(chain, model)


def test_a_pool_with_other_uses_stays_where_it_is() -> None:
    chain = f"b = Mul (a, step) p = {POOL} (b) r = Add (p, shift)"
    model = lowered(chain, ", float[] p")
    assert noisy_thresholds_of(model.graph[-1]) is None
    assert_same_signs(chain, model)


def test_a_sum_with_other_real_uses_is_negated_back() -> None:
    chain = "p = Mul (a, mixed) q = Add (p, shift) r = Add (q, half)"
    model = lowered(chain, ", float[] q")
    assert noisy_thresholds_of(model.graph[-1]) is not None
    assert_same_signs(chain, model)
    want = real_inputs("p = Mul (a, mixed) r = Add (p, shift)")
    np.testing.assert_array_equal(run(model, {})[1], want)


def test_a_sum_with_other_integer_uses_keeps_its_weights() -> None:
    chain = "p = Mul (a, mixed) r = Add (p, shift)"
    model = lowered(chain, ", int32[] s")
    assert operators(model) == [*SUM, "Mul", "StochasticSign"]
    np.testing.assert_array_equal(constant(model.graph[2], 1).ravel(), [1, -1, 1])
    assert_same_signs(chain, model)


def test_signs_share_the_table_of_their_noise() -> None:
    model = model_of("r = Add (a, shift)")
    first = model.graph[-1]
    value = first.inputs[0]
    for layer, noise in ((5, "logistic"), (6, "uniform")):
        node = ir.node("StochasticSign", [value], {"layer": layer}, domain="bnnkit")
        node.outputs[0].type = ir.TensorType(ir.DataType.UINT8)
        node.outputs[0].shape = ir.Shape(["N", 3, 7, 7])
        set_sign_record(node.outputs[0], SignRecord(f"act{layer}", noise))
        set_module_path(node, f"act{layer}")
        model.graph.append(node)
        model.graph.outputs.append(node.outputs[0])
    add_sampling_inputs(model.graph)
    compare_with_noise(model.graph, NoiseModel())
    signs = [node for node in model.graph if node.op_type == "StochasticSign"]
    tables = [node.inputs[3].name for node in signs if node.inputs[3] is not None]
    assert tables == ["noise.logistic", "noise.logistic", "noise.uniform"]


def test_a_sign_without_channels_is_refused() -> None:
    model = ir.from_onnx_text(
        f"{HEAD} g (float[N] x) => (uint8[N] y) {{ y = bnnkit.StochasticSign <layer = 0> (x) }}"
    )
    set_module_path(model.graph[0], "act")
    set_sign_record(model.graph[0].outputs[0], SignRecord("act", "uniform"))
    add_sampling_inputs(model.graph)
    with pytest.raises(UnsupportedError, match=r"\(N, C, ...\) of act .*mode='deterministic'"):
        compare_with_noise(model.graph, NoiseModel())
