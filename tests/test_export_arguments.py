"""What users give `export_onnx`: wrappers, tuples, arrays, inputs to calibrate with."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import bnnkit.nn as bnn
from bnnkit.artifact.calibration_record import read_calibration
from bnnkit.engines import open_file
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.export import Metadata, export_onnx
from bnnkit.export.from_torch.plain_arguments import plain_inputs, plain_model
from bnnkit.nn.norm_statistics import statistics_of
from bnnkit.nn.recalibrate import recalibrate
from bnnkit.runtime import load, open_artifact
from bnnkit.verification.verify import verify


def network() -> nn.Sequential:
    return nn.Sequential(
        bnn.IntegerConv2d(1, 4, 3, zero_point=9), nn.BatchNorm2d(4), bnn.Sign(),
        bnn.BinaryConv2d(4, 6, 3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(96, 3),
    )  # fmt: skip


def images(n: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8, generator=generator)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's
@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        nn.DataParallel,
        AveragedModel,
        lambda model: AveragedModel(nn.DataParallel(model)),
        pytest.param(torch.compile, marks=pytest.mark.slow),  # its import takes seconds
    ],
)
def test_the_network_inside_of_a_wrapper(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = network()
    found = plain_model(wrap(model))
    assert type(found) is nn.Sequential
    assert found.state_dict().keys() == model.state_dict().keys()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: torch.jit.trace(nn.Linear(4, 2), torch.zeros(1, 4)),  # type: ignore[no-untyped-call]
            "got a TorchScript module",
        ),
        (lambda: network, "expected a torch.nn.Module, got function"),
        (lambda: None, "expected a torch.nn.Module, got NoneType"),
    ],
)
def test_what_is_no_network(model: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export_onnx(model(), images(), "model.onnx")


def read_only() -> np.ndarray[Any, Any]:
    array = images().numpy().copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "inputs",
    [
        images(),
        (images(),),
        [images()],
        images().numpy(),
        read_only(),
        np.asfortranarray(images().numpy()),
        images().numpy()[:, :, ::-1][:, :, ::-1],
    ],
)
def test_forms_of_inputs(inputs: Any) -> None:
    assert torch.equal(plain_inputs(inputs, "an example", network()), images())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            (images(), images()),
            r"for the arguments of the model's forward \(input\), got 2 in a tuple",
        ),
        ({"x": images()}, "does not accept the example: linear.*must be Tensor, not dict"),
        (np.ma.asarray(images().numpy()), r"got a masked array; call .filled\(\)"),  # type: ignore[no-untyped-call]
        (np.zeros(3, object), "an example of uint8 or float32, got object"),
        ("x", "an example in a tensor, got str"),
        (None, "an example in a tensor, got NoneType"),
        (np.zeros((1, 4)), r"got torch.float64 of shape \(1, 4\); .*astype\(np.float32\)"),
    ],
)
def test_inputs_that_are_refused(inputs: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        export_onnx(nn.Linear(4, 2), inputs, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_model_that_does_not_accept_the_example(tmp_path: Path) -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.double())

    with pytest.raises(UsageError, match="does not accept the example: mat1 and mat2"):
        export_onnx(Doubled(4, 2), torch.zeros(1, 4), tmp_path / "model.onnx")


@pytest.mark.slow
def test_calibration_is_that_of_recalibrate_and_is_recorded(tmp_path: Path) -> None:
    model, x = network(), images(40)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = tmp_path / "model.onnx"
    export_onnx(model, x[:1], path, calibrate=x.numpy(), seed=5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    artifact = open_artifact(path)
    record = read_calibration(artifact)
    assert record is not None
    assert (record.source.data, record.source.mode) == ("given inputs", "samples")
    assert (record.source.seed, record.source.images) == (5, 40)
    order = np.random.default_rng(5).permutation(40)
    recalibrate(model, [x[order]], "samples", seed=5)
    for name, norm in statistics_of(model).items():
        np.testing.assert_array_equal(record.statistics[name].mean, norm.mean)
        np.testing.assert_array_equal(record.statistics[name].variance, norm.variance)
    assert not np.array_equal(record.statistics["1"].mean, before["1.running_mean"])
    model.load_state_dict(before)
    assert verify(artifact, x[:4].numpy(), network=model.eval()).is_equal


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (images().float(), "of torch.uint8 and shape .*, got torch.float32"),
        (images()[:0], r"got torch.uint8 of shape \(0, 1, 8, 8\)"),
        (images()[0], r"got torch.uint8 of shape \(1, 8, 8\)"),
        (True, "inputs to calibrate with in a tensor, got bool"),
    ],
)
def test_inputs_that_cannot_calibrate(inputs: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        export_onnx(network(), images(), tmp_path / "model.onnx", calibrate=inputs)


class SignOfConstant(nn.Module):
    def __init__(self, noise: str) -> None:
        super().__init__()
        self.sign = bnn.Sign(noise)
        self.layer = bnn.BinaryLinear(4, 4)
        self.weight = nn.Parameter(torch.tensor([[0.5, -1.0, 2.0, -0.1]]))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x * self.sign(self.weight) + self.layer(self.sign(-self.weight))
        return y


def test_the_sign_of_a_constant_is_constant(tmp_path: Path) -> None:
    model, x = SignOfConstant("none").eval(), torch.randn(3, 4)
    path = tmp_path / "model.onnx"
    export_onnx(model, x, path)
    expected = model(x).detach().numpy()
    for engine in ("bnnkit", "onnxruntime", "reference"):
        (found,) = open_file(engine, path).run(x.numpy())
        np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(UnsupportedError, match=r"expected no noise in sign .* sign of a constant"):
        export_onnx(SignOfConstant("logistic"), x, path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": "cat"}, "a list of names, got the string 'cat'"),
        ({"classes": [1, 2]}, "classes to be a list of strings"),
        ({"accuracy": 94}, "an accuracy from 0 to 1, got 94"),
        ({"accuracy": "high"}, "accuracy to be a finite number"),
        ({"dataset": 3}, "dataset to be a string, got 3"),
        ({"outputs": "logits"}, "outputs out of scores, .*, got 'logits'"),
        ({"outputs": 3}, "outputs to be a list of strings, got 3"),
    ],
)
def test_impossible_metadata(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Metadata(**arguments)


def test_an_export_says_what_its_outputs_hold(tmp_path: Path) -> None:
    path, x = tmp_path / "model.onnx", torch.randn(5, 4)
    model = nn.Linear(4, 2)
    export_onnx(model, x, path, metadata=Metadata(outputs="values"))
    assert load(path).output_kinds == ("values",)
    np.testing.assert_allclose(load(path).predict(x.numpy()), model(x).detach(), atol=1e-6)
    with pytest.raises(UsageError, match=r"what each of 1 outputs holds .* got scores, values"):
        export_onnx(model, x, path, metadata=Metadata(outputs=["scores", "values"]))


def test_without_torch_the_layers_say_what_is_missing() -> None:
    code = """if True:
        import sys
        sys.modules["torch"] = None
        try:
            import bnnkit.nn
        except ImportError as error:
            assert str(error).endswith("pip install 'bnnkit[train]'"), error
        else:
            raise AssertionError("nothing was missing")
    """
    subprocess.run([sys.executable, "-c", code], check=True)
