"""The deterministic form of a stochastic artifact: that of the exporter, and the same bits."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.checker
import pytest
import torch
from artifacts import ArtifactBuilder, noisy_digits_like, noisy_real_like
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

import bnnkit.nn as bnn
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.reference import Reference
from bnnkit.errors import ArtifactError
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.models import build

Array = NDArray[Any]


def constants_of(model: Artifact) -> dict[str, Array]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.model.graph.initializer}


def with_norms(model: nn.Module) -> nn.Module:
    """Batch norms with scales of both signs, and zeros."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            with torch.no_grad():
                module.weight[0] = 0
    return model.eval()


def vgg() -> nn.Module:
    return build("vgg", input_shape=(3, 16, 16), n_classes=4, zero_point=[9, 8, 7], width=8)


def pooled_in_front() -> nn.Module:
    """Pools before the batch norm, two of them in a row at last."""
    return nn.Sequential(
        bnn.IntegerConv2d(3, 8, 3, padding=1, zero_point=[9, 8, 7]),
        nn.BatchNorm2d(8),
        nn.MaxPool2d(2),
        bnn.Sign("none"),
        bnn.BinaryConv2d(8, 8, 3, padding=1),
        nn.MaxPool2d(2),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(8),
        bnn.Sign("uniform"),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


@pytest.mark.parametrize("make", [pytest.param(vgg, marks=pytest.mark.slow), pooled_in_front])
def test_it_is_what_the_exporter_writes(make: Callable[[], nn.Module]) -> None:
    model = with_norms(make())
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    stochastic = from_torch(model, images)
    before = stochastic.model.SerializeToString()
    found = stochastic.deterministic
    assert stochastic.model.SerializeToString() == before
    onnx.checker.check_model(found.model)
    want = from_torch(model, images, mode="deterministic")
    assert {n.op_type for n in found.model.graph.node} <= {
        n.op_type for n in want.model.graph.node
    } | {"Mul"}
    assert [value.name for value in found.model.graph.input] == ["image"]
    assert {entry.key: entry.value for entry in found.model.metadata_props} == {
        entry.key: entry.value for entry in want.model.metadata_props
    }
    traces = [Reference(model).trace(images.numpy()) for model in (found, want)]
    for name in Reference(stochastic).trace(images.numpy()):
        np.testing.assert_array_equal(traces[0][name], traces[1][name], err_msg=name)


@pytest.mark.slow
def test_a_chain_is_the_deterministic_file_node_by_node() -> None:
    model = with_norms(vgg())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):  # no channel is constant
            nn.init.constant_(module.weight, -0.7)
    images = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    found = from_torch(model, images, weight_draws=2).deterministic
    want = from_torch(model, images, mode="deterministic")
    assert list(found.model.graph.node) == list(want.model.graph.node)
    left, right = constants_of(found), constants_of(want)
    assert left.keys() == right.keys()
    for name, content in left.items():
        np.testing.assert_array_equal(content, right[name], err_msg=name)
        assert content.dtype == right[name].dtype


def test_a_deterministic_file_stays_as_it_is() -> None:
    model = with_norms(pooled_in_front())
    artifact = from_torch(
        model, torch.zeros(1, 3, 16, 16, dtype=torch.uint8), mode="deterministic"
    )
    assert artifact.deterministic is artifact


def assert_the_same_without_noise(model: Artifact, images: Array) -> list[str]:
    """The deterministic form has the signs of z = 0; its operators."""
    found = model.deterministic
    onnx.checker.check_model(found.model)
    assert [value.name for value in found.model.graph.input] == ["x"]
    want, got = Reference(model).trace(images), Reference(found).trace(images)
    for name, signs in want.items():
        np.testing.assert_array_equal(got[name], signs, err_msg=name)
    for mine, theirs in zip(
        Reference(found).run(images), Reference(model).run(images), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    return [node.op_type for node in found.model.graph.node]


@pytest.mark.parametrize("make", [noisy_digits_like, noisy_real_like])
def test_networks_of_all_forms(make: Callable[[], tuple[Artifact, Array]]) -> None:
    model, images = make()
    operators = assert_the_same_without_noise(model, images[:7])
    assert "StochasticSign" not in operators
    assert "BinaryConv2dThreshold" in operators


def test_limits_of_real_numbers_are_subtracted() -> None:
    a = ArtifactBuilder()
    limits = np.array([0.25, -1.5, 1e-40, 0, 3])
    y = a.stochastic_sign("x", limits, channels=5, maps=False)
    model = a.artifact((5,), y, sizes={y: (5,)})
    x = np.stack([limits, np.nextafter(limits.astype(np.float32), np.float32(-9))])
    assert assert_the_same_without_noise(model, x.astype(np.float32)) == ["Add", "Sign"]


def test_without_limits_a_real_number_has_its_sign() -> None:
    a = ArtifactBuilder()
    y = a.stochastic_sign("x", channels=5, maps=False)
    model = a.artifact((5,), y, sizes={y: (5,)})
    x = np.array([[0, -0.0, 1, -1e-45, 2]], np.float32)
    assert assert_the_same_without_noise(model, x) == ["Sign"]


@pytest.mark.parametrize("use", ["sum", "real", "pool"])
def test_what_has_other_uses_is_kept(use: str) -> None:
    a = ArtifactBuilder()
    total = a.binary_conv2d(a.sign("x"), 5, 6, thresholds=False)
    real = a.add("Cast", total, to=onnx.TensorProto.FLOAT)
    pool = a.add("MaxPool", real, kernel_shape=[2, 2], strides=[2, 2])
    y = a.stochastic_sign(pool, a.rng.normal(0, 3, 6), channels=6)
    other = {"sum": total, "real": real, "pool": pool}[use]
    model = a.artifact((5, 6, 6), y, other, sizes={y: (6, 2, 2), other: (6, 4, 4)})
    x = a.rng.standard_normal((3, 5, 6, 6)).astype(np.float32)
    operators = assert_the_same_without_noise(model, x)
    assert operators.count("MaxPool") == 1
    assert "BinaryConv2d" in operators


def test_limits_beyond_all_sums_stay_in_the_range_of_thresholds() -> None:
    a = ArtifactBuilder()
    total = a.binary_conv2d(a.sign("x"), 5, 3, 1, thresholds=False)
    real = a.add("Cast", total, to=onnx.TensorProto.FLOAT)
    y = a.stochastic_sign(real, np.array([-1e30, 1e30, 2.5]), channels=3)
    model = a.artifact((5, 2, 2), y, sizes={y: (3, 2, 2)})
    x = a.rng.standard_normal((9, 5, 2, 2)).astype(np.float32)
    assert assert_the_same_without_noise(model, x) == ["Sign", "BinaryConv2dThreshold"]
    found = model.deterministic
    threshold = constants_of(found)[found.model.graph.node[-1].input[2]]
    assert threshold.tolist() == [-5, 6, 3]


def test_names_that_are_taken_get_a_number() -> None:
    a = ArtifactBuilder()
    total = a.binary_conv2d(a.sign("x"), 5, 3, thresholds=False)
    y = a.noisy_sum(total, 3, 4.0, pool=2)
    model = a.artifact((5, 6, 6), y, sizes={y: (3, 2, 2)})
    real = next(node for node in model.model.graph.node if node.op_type == "Sign")
    for node in model.model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = f"{y}/unpooled" if name == real.output[0] else name
    real.output[0] = f"{y}/unpooled"
    x = a.rng.standard_normal((3, 5, 6, 6)).astype(np.float32)
    operators = assert_the_same_without_noise(model, x)
    assert operators == ["Sign", "BinaryConv2dThreshold", "MaxPool"]


def test_a_limit_that_is_computed_is_refused() -> None:
    a = ArtifactBuilder()
    y = a.stochastic_sign("x", np.ones(5), channels=5, maps=False)
    model = a.artifact((5,), y, sizes={y: (5,)})
    model.model.graph.node[-1].input[1] = "x"
    with pytest.raises(ArtifactError, match="expected a constant as input 1 of StochasticSign"):
        _ = model.deterministic
