"""A torch model, and its artifact in ONNX Runtime and in bnnkit: the same bits at every sign."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.helper
import onnxruntime as ort
import pytest
import torch
from hypothesis import Phase, given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from randomised import images_of, randomise
from torch import Tensor, nn
from torch.nn import functional

import bnnkit.nn as bnn
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.report import report
from bnnkit.export import Metadata, export_onnx
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.models import build
from bnnkit.runtime import Model, load
from bnnkit.verification.coverage import signs_in_memory


def torch_signs(model: nn.Module, images: Tensor) -> dict[str, NDArray[np.uint8]]:
    """What every `Sign` module gives, as codes 0 and 2, by the path of the module."""
    found: dict[str, NDArray[np.uint8]] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            found[name] = (output + 1).to(torch.uint8).numpy()

        return hook

    signs = [
        (name, module) for name, module in model.named_modules() if isinstance(module, bnn.Sign)
    ]
    handles = [module.register_forward_hook(keep(name)) for name, module in signs]
    with torch.no_grad():
        model.eval()(images)
    for handle in handles:
        handle.remove()
    return found


def run(artifact: Artifact, images: Tensor, *values: str) -> list[NDArray[Any]]:
    """The outputs of an artifact in ONNX Runtime, then the values asked for."""
    model = onnx.ModelProto()
    model.CopyFrom(artifact.model)
    names = [output.name for output in model.graph.output]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in values
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feeds = {session.get_inputs()[0].name: images.numpy()}
    found: list[NDArray[Any]] = session.run([*names, *values], feeds)
    return found


def assert_same_signs(model: nn.Module, artifact: Artifact, images: Tensor) -> None:
    """Torch, ONNX Runtime and bnnkit's runtime give the same signs, and outputs within 1e-4."""
    want = torch_signs(model, images)
    names = [entry["name"] for entry in json.loads(metadata(artifact)["bnnkit.signs"])]
    assert sorted(names) == sorted(want)
    scores, *signs = run(artifact, images, *names)
    runtime = Model(artifact)
    traced = runtime.trace(images.numpy())
    assert signs_in_memory(artifact).intersection(names) <= set(traced)
    for name, got in zip(names, signs, strict=True):
        np.testing.assert_array_equal(got, want[name], err_msg=name)
        np.testing.assert_array_equal(traced.get(name, got), want[name], err_msg=name)
    with torch.no_grad():
        expected = model(images).numpy()
    for found in (scores, runtime.run(images.numpy())):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def metadata(artifact: Artifact) -> dict[str, str]:
    return {entry.key: entry.value for entry in artifact.model.metadata_props}


def operators(artifact: Artifact) -> list[str]:
    return [node.op_type for node in artifact.model.graph.node]


MODELS = {
    "mlp": ((1, 8, 8), {"width": 65, "depth": 3}),
    "convnet": ((1, 12, 12), {"width": 33}),
    "vgg": ((3, 32, 32), {"width": 9}),
}


@pytest.mark.parametrize("name", ["mlp", "convnet", pytest.param("vgg", marks=pytest.mark.slow)])
def test_chains_of_integer_layers_are_equal_at_every_sign(name: str) -> None:
    torch.manual_seed(1)
    shape, options = MODELS[name]
    model = build(
        name, input_shape=shape, n_classes=10, zero_point=[100, 120, 140][: shape[0]], **options
    )
    randomise(model, images_of(32, *shape), seed=2)
    artifact = from_torch(model, images_of(1, *shape), mode="deterministic")
    onnx.checker.check_model(artifact.model, full_check=True)
    assert "Sign" not in operators(artifact)
    for batch in (1, 7):
        assert_same_signs(model, artifact, images_of(batch, *shape, seed=batch))


IMAGE = (2, 13, 12)


@st.composite
def chains(draw: st.DrawFn) -> nn.Sequential:
    """Random chains: linear map, batch norm and pool in either order, sign."""
    pair = st.tuples(st.integers(1, 2), st.integers(1, 2))
    groups = draw(st.sampled_from([1, 2]))
    channels = groups * draw(st.sampled_from([1, 16, 17, 32]))
    layers: list[nn.Module] = [
        bnn.IntegerConv2d(
            2, channels, draw(st.integers(1, 3)), padding=1, stride=draw(pair), zero_point=[7, 250]
        )
    ]
    for _ in range(2):
        pool = nn.MaxPool2d(draw(st.integers(1, 3)), stride=draw(st.integers(1, 2)))
        norm = nn.BatchNorm2d(channels)
        layers += draw(st.sampled_from([(norm,), (norm, pool), (pool, norm)]))
        layers.append(bnn.Sign(draw(st.sampled_from(["logistic", "uniform"]))))
        convolution = bnn.BinaryConv2d(
            channels,
            channels,
            draw(st.sampled_from([1, 2, 3])),
            stride=draw(pair),
            padding=draw(st.integers(1, 2)),
            dilation=draw(pair),
            groups=groups,
            bias=draw(st.booleans()),
            padding_value=draw(st.sampled_from(["ones", "zeros"])),
        )
        layers.append(convolution)
    head = [nn.BatchNorm2d(channels), bnn.Sign(), nn.Flatten(), nn.LazyLinear(3)]
    model = nn.Sequential(*layers, *head)
    try:
        model(images_of(2, *IMAGE))
    except RuntimeError:  # a map became smaller than the kernel
        reject()
    return model


# Each example is an export of a second or two, so nothing is spent on shrinking.
@pytest.mark.exhaustive
@settings(max_examples=7, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(model=chains(), seed=st.integers(0, 99))
def test_random_chains_are_equal_at_every_sign(model: nn.Sequential, seed: int) -> None:
    torch.manual_seed(seed)
    images = images_of(7, *IMAGE, seed=seed)
    randomise(model, images, seed)
    artifact = from_torch(model, images, mode="deterministic")
    assert_same_signs(model, artifact, images)
    assert_same_signs(model, artifact, images[:1])


@pytest.mark.slow
def test_a_residual_network_gives_the_same_classes() -> None:
    torch.manual_seed(3)
    model = build(
        "resnet18", input_shape=(3, 32, 32), n_classes=10, zero_point=[120, 120, 120], width=16
    )
    images = images_of(16, 3, 32, 32)
    randomise(model, images, seed=4)
    artifact = from_torch(model, images, mode="deterministic")
    onnx.checker.check_model(artifact.model, full_check=True)
    with torch.no_grad():
        want = model(images).numpy()
    for got in (run(artifact, images)[0], np.asarray(Model(artifact).run(images.numpy()))):
        np.testing.assert_array_equal(got.argmax(1), want.argmax(1))
    kinds = [layer.kind for layer in report(artifact, 0).layers]
    assert kinds == ["integer"] + ["binary"] * 16 + ["float"]


def test_a_network_that_was_binarized_in_place_is_equal_at_every_sign() -> None:
    torch.manual_seed(8)
    model = nn.Sequential(
        bnn.IntegerConv2d(1, 8, 3, zero_point=[30]),
        nn.BatchNorm2d(8),
        nn.Hardtanh(),
        nn.Conv2d(8, 9, 3, padding=1, bias=False),
        nn.BatchNorm2d(9),
        nn.Hardtanh(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(81, 40),
        nn.BatchNorm1d(40),
        nn.Hardtanh(),
        nn.Linear(40, 3),
    )
    bnn.binarize_(model, ["3", "8"])  # signs are taken before the layers: behind pool and flatten
    images = images_of(7, 1, 8, 8)
    randomise(model, images, seed=9)
    artifact = from_torch(model, images, mode="deterministic")
    assert_same_signs(model, artifact, images)
    assert operators(artifact) == [
        "IntegerConv2d",
        "Threshold",
        "BinaryConv2dThreshold",
        "MaxPool",
        "Flatten",
        "BinaryLinear",
        "Cast",
        "Add",
        "Mul",
        "Add",
        "Clip",
        "Gemm",
    ]


class UsersOwn(nn.Module):
    """A float network: a skip connection, a shared layer, a layer that is to stay float."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.block = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.side = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.hardtanh(self.stem(x))
        x = x + self.norm(self.block(x))
        x = x + self.norm(self.block(x))
        x = functional.max_pool2d(functional.relu(self.side(x)), 2)
        scores: Tensor = self.head(x.mean((2, 3)))
        return scores


def test_a_users_own_model_exports_and_says_what_stayed_float(tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = bnn.binarize_(UsersOwn(), ["block"])
    images = torch.randn(6, 1, 8, 8)
    path = tmp_path / "model.onnx"
    result = export_onnx(model, images[:1], path)
    assert {layer.name: layer.kind for layer in result.layers} == {
        "stem": "float",
        "block": "binary",
        "block#2": "binary",
        "side": "float",
        "head": "float",
    }
    assert all("real-valued" in layer.reason for layer in result.layers if layer.kind == "float")
    with torch.no_grad():
        want = model.eval()(images).numpy()
    for got in (run(Artifact(onnx.load(path)), images)[0], load(path).run(images.numpy())):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_the_vgg_file_is_near_its_ideal_size(tmp_path: Path) -> None:
    torch.manual_seed(6)
    model = build("vgg", input_shape=(3, 32, 32), n_classes=10, zero_point=[120, 120, 120])
    result = export_onnx(model, images_of(1, 3, 32, 32), tmp_path / "vgg.onnx")
    assert result.file_bytes == (tmp_path / "vgg.onnx").stat().st_size
    latent = sum(p.numel() for name, p in model.named_parameters() if name.endswith("latent"))
    assert result.ideal_bytes >= latent / 8
    assert result.file_bytes <= 1.03 * result.ideal_bytes + 64_000
    assert result.is_near_ideal_size


@pytest.mark.usefixtures("fresh_exports")
def test_the_same_model_gives_the_same_bytes_and_is_not_changed(tmp_path: Path) -> None:
    torch.manual_seed(7)
    model = build("mlp", input_shape=(1, 8, 8), n_classes=3, zero_point=[9], width=16, depth=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    next(iter(model.children())).eval()
    modes = [module.training for module in model.modules()]
    for name in ("one", "two"):
        export_onnx(model, images_of(3, 1, 8, 8, seed=len(name)), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_metadata_names_and_free_batch(tmp_path: Path) -> None:
    model = nn.Sequential(
        bnn.IntegerConv2d(1, 4, 3, zero_point=[9]),
        nn.BatchNorm2d(4),
        bnn.Sign("uniform"),
        nn.Flatten(),
        nn.Linear(16, 2),
    )
    about = Metadata(classes=("cat", "dog"), dataset="pets", accuracy=0.5, checkpoint="ab12")
    export_onnx(
        model, images_of(1, 1, 4, 4), tmp_path / "m.onnx", metadata=about, mode="deterministic"
    )
    artifact = onnx.load(tmp_path / "m.onnx")
    found = metadata(Artifact(artifact))
    assert found.keys() == {
        f"bnnkit.{key}"
        for key in (
            "format",
            "version",
            "mode",
            "signs",
            "classes",
            "dataset",
            "accuracy",
            "checkpoint",
            "input",
        )
    }
    assert json.loads(found["bnnkit.signs"]) == [{"name": "2", "noise": "uniform"}]
    assert json.loads(found["bnnkit.classes"]) == ["cat", "dog"]
    assert json.loads(found["bnnkit.input"]) == {
        "name": "image", "dtype": "uint8", "shape": [1, 4, 4], "zero_point": [9],
    }  # fmt: skip
    assert (found["bnnkit.format"], found["bnnkit.accuracy"], found["bnnkit.mode"]) == (
        "1",
        "0.5",
        "deterministic",
    )
    assert [output.name for output in artifact.graph.output] == ["scores"]
    assert artifact.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert {entry.domain: entry.version for entry in artifact.opset_import} == {
        "": 21,
        "bnnkit": 1,
    }
    assert artifact.ir_version == 10
    assert {function.name for function in artifact.functions} == {"IntegerConv2d", "Threshold"}
    assert b"/torch/" not in artifact.SerializeToString()  # no stack traces


def test_a_model_without_binary_parts_exports_as_plain_onnx() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    artifact = from_torch(model, torch.zeros(1, 4))
    assert operators(artifact) == ["Gemm", "Relu"]
    assert [entry.domain for entry in artifact.model.opset_import] == [""]
    x = torch.randn(5, 4)
    np.testing.assert_allclose(
        run(artifact, x)[0], model(x).detach().numpy(), rtol=1e-5, atol=1e-6
    )


@pytest.mark.usefixtures("fresh_exports")
def test_the_exporter_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export_onnx(nn.Linear(4, 2), torch.zeros(1, 4), tmp_path / "m.onnx")
    assert capfd.readouterr() == ("", "")


def test_the_package_is_light_and_says_what_is_missing() -> None:
    code = """if True:
        import sys
        import bnnkit.export
        assert "torch" not in sys.modules and "onnx" not in sys.modules
        sys.modules["onnx_ir"] = None
        from bnnkit.errors import MissingExtraError
        try:
            bnnkit.export.export_onnx
        except MissingExtraError as error:
            assert "pip install 'bnnkit[export]'" in str(error)
        else:
            raise AssertionError("nothing was missing")
        assert not hasattr(bnnkit.export, "nothing")
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
