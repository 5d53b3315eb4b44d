"""Stochastic artifacts: the noise of every engine is that of torch, and z = 0 the old network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, reject, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from randomised import images_of, randomise
from stochastic_runs import (
    SAMPLES,
    assert_quiet,
    assert_same_draws,
    assert_same_signs,
    in_onnxruntime,
    names_of,
)
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.reference import Reference
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.export import export_onnx, noisy_thresholds
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.export.passes.noise_model import NoiseModel
from bnnkit.models import build
from bnnkit.nn.base.noise import Logistic, Noise, Uniform
from bnnkit.nn.quantile_table import quantile_table
from bnnkit.verification.torch_trace import TorchTrace

MODELS = {
    "mlp": ((1, 8, 8), {"width": 65, "depth": 3}),
    "convnet": ((1, 12, 12), {"width": 33}),
    "vgg": ((3, 32, 32), {"width": 9}),
}


@pytest.mark.parametrize(
    ("name", "noise"),
    [
        ("mlp", "uniform"),
        ("convnet", "triangular"),
        pytest.param("vgg", "logistic", marks=pytest.mark.slow),
    ],
)
def test_chains_of_integer_layers_draw_the_signs_of_torch(name: str, noise: str) -> None:
    torch.manual_seed(1)
    shape, options = MODELS[name]
    zero_point = [100, 120, 140][: shape[0]]
    model = build(
        name, input_shape=shape, n_classes=10, zero_point=zero_point, noise=noise, **options
    )
    images = images_of(3, *shape)
    randomise(model, images_of(32, *shape), seed=2)
    assert_same_signs(model, images)


IMAGE = (2, 12, 11)


@st.composite
def chains(draw: st.DrawFn) -> nn.Sequential:
    """Random chains: linear map, batch norm and pool in either order, sign, maybe noise."""
    noise = st.sampled_from(["logistic", "uniform", "none"])
    groups = draw(st.sampled_from([1, 2]))
    channels = groups * draw(st.sampled_from([1, 17, 33]))
    layers: list[nn.Module] = [
        bnn.IntegerConv2d(2, channels, draw(st.integers(1, 3)), padding=1, zero_point=[7, 250])
    ]
    for _ in range(2):
        pool = nn.MaxPool2d(draw(st.integers(1, 3)), stride=draw(st.integers(1, 2)))
        norm = nn.BatchNorm2d(channels)
        layers += draw(st.sampled_from([(norm,), (norm, pool), (pool, norm)]))
        layers.append(bnn.Sign(draw(noise)))
        layers.append(
            bnn.BinaryConv2d(
                channels,
                channels,
                draw(st.sampled_from([1, 2, 3])),
                padding=draw(st.integers(0, 1)),
                groups=groups,
                bias=draw(st.booleans()),
                padding_value=draw(st.sampled_from(["ones", "zeros"])),
            )
        )
    head = [nn.BatchNorm2d(channels), bnn.Sign(), nn.Flatten(), nn.LazyLinear(3)]
    model = nn.Sequential(*layers, *head)
    try:
        model(images_of(2, *IMAGE))
    except RuntimeError:  # a map became smaller than the kernel
        reject()
    return model


# Each example is several exports, so nothing is spent on shrinking.
@pytest.mark.exhaustive
@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(model=chains(), seed=st.integers(0, 99))
def test_random_chains_draw_the_signs_of_torch(model: nn.Sequential, seed: int) -> None:
    torch.manual_seed(seed)
    images = images_of(5, *IMAGE, seed=seed)
    randomise(model, images, seed)
    assert_same_signs(model, images)


class Residual(nn.Module):
    """A sum with a sign and a skip connection, then a sign of real numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = bnn.IntegerConv2d(1, 8, 3, padding=1, zero_point=[9])
        self.norm = nn.BatchNorm2d(8)
        self.first = bnn.Sign()
        self.conv = bnn.BinaryConv2d(8, 8, 3, padding=1)
        self.second_norm = nn.BatchNorm2d(8)
        self.second = bnn.Sign("triangular")

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        signs: Tensor = self.second(x + self.second_norm(self.conv(self.first(x))))
        return signs


@pytest.mark.slow
def test_a_skip_connection_draws_the_same_signs_in_every_executor() -> None:
    model = Residual()
    images = images_of(4, 1, 8, 8)
    randomise(model, images, seed=4)
    artifact = from_torch(model, images)
    reference = Reference(artifact)
    thresholds = noisy_thresholds(model, images)
    assert list(thresholds) == [0]  # the second sign is of a real number
    for sample in SAMPLES:
        want = reference.trace(images.numpy(), sample)
        found = in_onnxruntime(artifact, images.numpy(), sample)
        trained = TorchTrace(model, thresholds=thresholds)(images.numpy(), sample).signs
        for name in names_of(artifact):
            np.testing.assert_array_equal(found[name], want[name], err_msg=name)
        np.testing.assert_array_equal(trained["first"], want["first"])
        assert (trained["second"] != want["second"]).mean() < 1e-3  # torch rounds otherwise


class Twice(nn.Module):
    """One sign that is called twice, another one on the same input, one without noise."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = bnn.IntegerConv2d(1, 4, 3, zero_point=[9])
        self.norm = nn.BatchNorm2d(4)
        self.one = bnn.Sign("uniform")
        self.plain = bnn.Sign("none")
        self.two = bnn.Sign("uniform")

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        signs: Tensor = self.one(x) + self.plain(x) + self.two(x) + self.one(x)
        return signs


@pytest.mark.slow
def test_signs_on_one_input_draw_numbers_of_their_own() -> None:
    model = Twice()
    images = images_of(5, 1, 7, 7)
    randomise(model, images, seed=1)
    artifact = assert_same_signs(model, images)
    layers = {
        node.output[0]: attribute.i
        for node in artifact.model.graph.node
        for attribute in node.attribute
        if attribute.name == "layer"
    }
    assert layers == {"one": 0, "two": 1, "one#2": 2}
    signs = Reference(artifact).trace(images.numpy(), SAMPLES[0])
    assert (signs["one"] != signs["two"]).any()
    assert (signs["one"] != signs["one#2"]).any()


class Clash(nn.Module):
    """A sign and a parameter with the names of inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.sample = bnn.Sign("uniform")
        self.seed = nn.Parameter(torch.randn(3))

    def forward(self, x: Tensor) -> Tensor:
        signs: Tensor = self.sample(x * x * self.seed)
        return signs


def test_the_inputs_that_choose_the_random_numbers_keep_their_names() -> None:
    artifact = from_torch(Clash(), torch.zeros(1, 3))
    assert [value.name for value in artifact.model.graph.input][1:3] == ["sample", "seed"]
    assert names_of(artifact) == ["sample#2"]
    x = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    want = Reference(artifact).trace(x, SAMPLES[0])
    np.testing.assert_array_equal(
        in_onnxruntime(artifact, x, SAMPLES[0])["sample#2"], want["sample#2"]
    )


def small(noise: str | Noise = "logistic", weight_noise: str = "logistic") -> nn.Sequential:
    return nn.Sequential(
        bnn.IntegerConv2d(1, 6, 3, zero_point=[9]),
        nn.BatchNorm2d(6),
        bnn.Sign(noise),
        bnn.BinaryConv2d(6, 40, 3, noise=weight_noise),
        nn.BatchNorm2d(40),
        bnn.Sign(noise),
        nn.Flatten(),
        bnn.BinaryLinear(40, 3, noise=weight_noise),
    )


def test_the_file_has_inputs_with_defaults_and_one_table() -> None:
    artifact = from_torch(small(), images_of(1, 1, 5, 5))
    assert [value.name for value in artifact.model.graph.input] == [
        "image",
        "sample",
        "seed",
        "image_offset",
        "antithetic",
    ]
    defaults = {
        t.name: numpy_helper.to_array(t).tolist() for t in artifact.model.graph.initializer
    }
    assert [defaults[name] for name in ("sample", "seed", "image_offset", "antithetic")] == [
        -1,
        0,
        0,
        False,
    ]
    assert [name for name in defaults if name.startswith("noise.")] == ["noise.logistic"]
    assert defaults["noise.logistic"] == quantile_table(Logistic()).tolist()
    assert {f.name for f in artifact.model.functions} == {
        "IntegerConv2d",
        "StochasticSign",
        "Philox",
        "BinaryConv2d",
        "BinaryLinear",
    }


def test_without_noise_the_file_is_deterministic() -> None:
    model = nn.Sequential(bnn.IntegerConv2d(1, 2, 3, zero_point=[9]), bnn.Sign("none"))
    images = images_of(1, 1, 5, 5)
    artifact = from_torch(model, images)
    assert artifact.metadata["mode"] == "deterministic"
    assert [value.name for value in artifact.model.graph.input] == ["image"]
    with pytest.raises(UsageError, match="expected a network with noisy signs for mode samples"):
        from_torch(model, images, mode="samples")
    with pytest.raises(UsageError, match="expected mode samples for draws of the weights"):
        from_torch(model, images, weight_draws=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_draws": -1}, "0 to 1024 draws of the weights, got -1"),
        ({"weight_draws": 1025}, "0 to 1024 draws of the weights, got 1025"),
        ({"weight_draws": 1, "seed": -1}, "seed from 0 to 2.64 - 1, got -1"),
        ({"mode": "sampled"}, "expected a mode out of samples, deterministic, got 'sampled'"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_torch(small(), images_of(1, 1, 5, 5), **options)


class Cubic(Noise):
    """A user's noise that is not registered; z = (2p - 1)^3, F'(0) is infinite, which is fine."""

    name = "cubic"

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def cdf(self, x: Tensor) -> Tensor:
        return (x.abs().pow(1 / 3) * x.sign() / self.scale + 1).clamp(0, 2) / 2

    def pdf(self, x: Tensor) -> Tensor:
        return torch.ones_like(x) / 2

    def quantile(self, p: Tensor) -> Tensor:
        return self.scale * (2 * p - 1) ** 3


def test_a_noise_of_the_user_is_stored() -> None:
    model = small(Cubic(2.0))
    images = images_of(4, 1, 5, 5)
    randomise(model, images, seed=2)
    artifact = assert_same_draws(model, images)
    (table,) = (t for t in artifact.model.graph.initializer if t.name == "noise.cubic")
    np.testing.assert_array_equal(numpy_helper.to_array(table), quantile_table(Cubic(2.0)))


@pytest.mark.parametrize(
    ("noises", "error", "message"),
    [
        ((Cubic(1.0), Cubic(2.0)), UnsupportedError, "one noise of the name 'cubic', got two"),
        ((Cubic(-1.0), Cubic(-1.0)), UsageError, "finite quantiles that do not decrease"),
    ],
)
def test_noises_that_cannot_be_stored_are_refused(
    noises: tuple[Noise, Noise], error: type[Exception], message: str
) -> None:
    model = small(noises[0])
    model[5] = bnn.Sign(noises[1])
    with pytest.raises(error, match=message):
        from_torch(model, images_of(1, 1, 5, 5))


def test_draws_of_the_weights_are_the_same_in_every_executor() -> None:
    model = small()
    images = images_of(4, 1, 5, 5)
    randomise(model, images, seed=5)
    artifact = from_torch(model, images, weight_draws=3, seed=11)
    assert_quiet(model, artifact, images)
    reference = Reference(artifact)
    traces = []
    for index in (0, 1, 2, 3):
        want = reference.trace(images.numpy(), Sample(seed=1, index=index))
        got = in_onnxruntime(artifact, images.numpy(), Sample(seed=1, index=index))
        np.testing.assert_array_equal(got["5"], want["5"])
        traces.append(want["5"])
    assert (traces[0] != traces[1]).any()
    again = from_torch(model, images, weight_draws=3, seed=11)
    assert again.model.SerializeToString() == artifact.model.SerializeToString()


def test_draws_of_the_weights_follow_their_noise() -> None:
    draws = 1000
    latent = torch.tensor([[-9.0, -1.0, -0.25, 0.0, 0.25, 1.0, 9.0]])
    for noise in (Logistic(), Uniform()):
        stochastic = NoiseModel(weight_draws=draws, seed=3)
        weights = stochastic.draw_weights(latent.numpy(), noise.name, 0)
        assert weights.shape == (draws, 1, 7)
        frequency = (weights == 1).mean(axis=0)
        p = noise.cdf(latent).numpy()
        assert (np.abs(frequency - p) <= 5 * np.sqrt(p * (1 - p) / draws)).all()
        others = (
            stochastic.draw_weights(latent.numpy(), noise.name, 1),
            NoiseModel(weight_draws=draws, seed=4).draw_weights(latent.numpy(), noise.name, 0),
        )
        assert all((weights != other).any() for other in others)


def test_weights_are_negated_in_every_draw() -> None:
    model = small()
    images = images_of(4, 1, 5, 5)
    norms = [module for module in model if isinstance(module, nn.BatchNorm2d)]
    files = []
    for sign in (1, -1):
        for norm in norms:
            nn.init.constant_(norm.weight, sign)
        files.append(from_torch(model, images, weight_draws=2))
    plus, minus = (
        numpy_helper.to_array(next(t for t in f.model.graph.initializer if t.name == "3.weight"))
        for f in files
    )
    assert plus.shape == (3, 40 * 6 * 9 // 8)
    np.testing.assert_array_equal(minus, ~plus)


def test_weights_without_noise_are_not_drawn() -> None:
    artifact = from_torch(small(weight_noise="none"), images_of(1, 1, 5, 5), weight_draws=4)
    assert "WeightDraw" not in {node.op_type for node in artifact.model.graph.node}


@pytest.mark.slow
def test_the_stochastic_vgg_file_is_near_its_ideal_size(tmp_path: Path) -> None:
    model = build("vgg", input_shape=(3, 32, 32), n_classes=10, zero_point=[120, 120, 120])
    images = images_of(1, 3, 32, 32)
    result = export_onnx(model, images, tmp_path / "vgg.onnx")
    assert result.is_near_ideal_size
    latent = sum(p.numel() for name, p in model.named_parameters() if name.endswith("latent"))
    assert result.ideal_bytes <= latent / 8 + 150_000
