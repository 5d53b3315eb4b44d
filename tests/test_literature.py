"""The networks of the literature: trained for a step, exported, equal in every engine."""

import importlib.util

import numpy as np
import pytest
import torch
from small_models import LITERATURE, images, small
from torch import nn

from bnnkit.artifact.report import report
from bnnkit.data import Dataset
from bnnkit.errors import UsageError
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.models import build
from bnnkit.models.rprelu import ChannelShift
from bnnkit.nn import BinaryConv2d, Sign
from bnnkit.training.build_model import build_model
from bnnkit.training.config import parse_config
from bnnkit.verification.verify import verify

SHAPE = (3, 32, 32)
HAS_LCE = importlib.util.find_spec("larq_compute_engine") is not None and (
    np.lib.NumpyVersion(np.__version__) < "2.0.0"
)
EVERY = pytest.mark.parametrize("name", LITERATURE)
BINARY_LAYERS = {
    "bi-real-18": 16,
    "reactnet-18": 16,
    "reactnet-a": 26,
    "quicknet": 16,
    "meliusnet-22": 34,
    "bnext-t": 31,
}
"""BNext has two 1x1 convolutions in each of the five blocks that double the channels."""


@EVERY
def test_a_step_of_training(name: str) -> None:
    torch.manual_seed(0)
    model = small(name, shape=SHAPE, zero_point=(120, 110, 100))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    before = {key: value.clone() for key, value in model.named_parameters()}
    loss = nn.functional.cross_entropy(model(images(4, *SHAPE)), torch.arange(4))
    torch.autograd.backward(loss)
    assert all(parameter.grad is not None for parameter in model.parameters())
    optimizer.step()
    moved = {key for key, value in model.named_parameters() if not torch.equal(value, before[key])}
    layers = [key for key, module in model.named_modules() if isinstance(module, BinaryConv2d)]
    assert len(layers) == BINARY_LAYERS[name]
    assert {f"{key}.latent" for key in layers} <= moved
    assert sum(isinstance(module, Sign) for module in model.modules()) == len(layers)


@pytest.mark.parametrize(
    "name",
    # `reactnet-18` has the same layers, and more.
    [pytest.param(name, marks=pytest.mark.exhaustive) if name == "bi-real-18" else name
     for name in LITERATURE],
)  # fmt: skip
@pytest.mark.slow
def test_every_engine_computes_what_was_trained(name: str) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    torch.manual_seed(0)
    model = small(name, shape=SHAPE, zero_point=(120, 110, 100), estimator="deterministic-st")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            module.momentum = None  # the mean over all batches
        if isinstance(module, ChannelShift):
            nn.init.uniform_(module.shift, -0.3, 0.3)
    with torch.no_grad():
        for _ in range(3):
            model(images(8, *SHAPE))
    pixels = images(2, *SHAPE)
    artifact = from_torch(model.eval(), pixels[:1])
    layers = report(artifact, artifact.model.ByteSize()).layers
    assert sum(layer.kind == "binary" for layer in layers) == BINARY_LAYERS[name]
    found = verify(artifact, pixels.numpy(), network=model, with_lce=HAS_LCE)
    assert found.is_equal
    engines = {comparison.engine.partition(",")[0] for comparison in found.comparisons}
    assert engines >= {"torch", "bnnkit", "onnxruntime"}


@pytest.mark.parametrize(("name", "width"), [("quicknet", 6), ("meliusnet-22", 24)])
def test_widths_that_do_not_divide(name: str, width: int) -> None:
    with pytest.raises(UsageError, match=f"a width that is a multiple of .*, got {width}"):
        build(name, input_shape=SHAPE, n_classes=2, zero_point=None, width=width)


def test_the_names_of_the_resnets_have_the_options_of_their_papers() -> None:
    plain, shifted = small("bi-real-18", shape=SHAPE), small("reactnet-18", shape=SHAPE)
    assert not any(isinstance(module, nn.PReLU) for module in plain.modules())
    assert sum(isinstance(module, nn.PReLU) for module in shifted.modules()) == 16
    for model in (plain, shifted):
        stem, *skips = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
        assert (stem.kernel_size, stem.stride) == ((7, 7), (2, 2))
        assert [skip.kernel_size for skip in skips] == [(1, 1)] * 3


@EVERY
def test_a_configuration_names_them(name: str) -> None:
    width = LITERATURE[name]["width"]
    config = parse_config(f"model: {{name: {name}, width: {width}, padding_value: zeros}}")
    inputs = np.zeros((2, *SHAPE), np.uint8), np.arange(2)
    data = Dataset(
        name="own", x_train=inputs[0], y_train=inputs[1], x_test=inputs[0], y_test=inputs[1],
        classes=("a", "b"),
    )  # fmt: skip
    model = build_model(config.model, data)
    layers = [module for module in model.modules() if isinstance(module, BinaryConv2d)]
    assert len(layers) == BINARY_LAYERS[name]
    assert {layer.padding_value for layer in layers} == {"zeros"}


def test_options_replace_those_that_a_name_stands_for() -> None:
    model = small("bi-real-18", shape=(3, 16, 16), stem="3x3", skip="average")
    assert [m.kernel_size for m in model.modules() if isinstance(m, nn.Conv2d)] == [(3, 3)]
    assert sum(isinstance(module, nn.AvgPool2d) for module in model.modules()) == 3
