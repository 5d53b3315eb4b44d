"""Networks with several inputs, from torch and from files of others, in every engine."""

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import fail, succeed
from exporter_cache import ask_torch
from numpy.typing import NDArray
from several_inputs import NETWORKS, PLAIN, ImageAndFeatures, random_inputs, random_network
from torch import Tensor, nn

import bnnkit.nn as bnn
import bnnkit.runtime as rt
from bnnkit.engines import open_engine
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.export import convert_onnx, export_onnx, to_tflite
from bnnkit.nn.several_inputs import called
from bnnkit.runtime import EnsembleConfig, open_artifact
from bnnkit.runtime.c_code import export_c
from bnnkit.verification.verify import verify

pytestmark = pytest.mark.slow  # each asks torch for an export; test_input_batch.py is quick
Array = NDArray[Any]
TOLERANCE = 1e-4
"""Of real outputs, whose sums engines compute in other orders."""


def arrays(inputs: dict[str, Tensor]) -> dict[str, Array]:
    return {name: tensor.numpy() for name, tensor in inputs.items()}


def outputs(network: nn.Module, inputs: dict[str, Tensor]) -> list[Array]:
    with torch.no_grad():
        found = called(network, inputs)
    values = found.values() if isinstance(found, dict) else found
    return [y.numpy() for y in ([values] if isinstance(values, Tensor) else values)]


def assert_close(found: Any, expected: list[Array]) -> None:
    results = list(found) if isinstance(found, list | tuple) else [found]
    assert len(results) == len(expected)
    for got, want in zip(results, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=TOLERANCE, atol=TOLERANCE)


def exported(name: str, path: Path) -> tuple[nn.Module, dict[str, Tensor]]:
    network, inputs = random_network(name), random_inputs(name, 5)
    export_onnx(network, inputs, path)
    return network, inputs


@pytest.mark.parametrize("name", NETWORKS)
def test_every_engine_computes_what_torch_computes(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    network, inputs = exported(name, path)
    expected, given = outputs(network, inputs), arrays(inputs)
    model, artifact = rt.load(path), open_artifact(path)
    assert tuple(one.name for one in model.inputs) == tuple(given)
    assert_close(model.run(given), expected)
    assert_close(model.run(tuple(given.values()), threads=2), expected)
    backwards = dict(reversed(given.items()))
    assert_close(pickle.loads(pickle.dumps(model)).run(backwards), expected)
    for engine in ("onnxruntime", "onnxruntime-fp32", "reference"):
        opened = open_engine(engine, artifact)
        assert_close(opened.run(opened.accepted(given)), expected)
    assert verify(artifact, given, network=network).is_equal


@pytest.mark.parametrize("name", ["siamese", "masked tokens"])
def test_a_tuple_is_in_the_order_of_forward(name: str, tmp_path: Path) -> None:
    network, inputs = random_network(name), random_inputs(name, 3)
    export_onnx(network, inputs, tmp_path / "by_name.onnx")
    export_onnx(network, tuple(inputs.values()), tmp_path / "in_order.onnx")
    export_onnx(network, dict(reversed(inputs.items())), tmp_path / "backwards.onnx")
    contents = {path.read_bytes() for path in tmp_path.glob("*.onnx")}
    assert len(contents) == 1


def test_a_dict_names_the_outputs(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    exported("image and features", path)
    assert rt.load(path).output_names == ("scores", "size")
    assert rt.load(path).output_kinds == ("scores", "values")


def test_samples_are_equal_in_every_engine(tmp_path: Path) -> None:
    """The noise of an image depends on its number, whichever inputs there are."""
    torch.manual_seed(1)
    network, inputs = (
        ImageAndFeatures(noise="logistic").eval(),
        random_inputs("image and features", 6),
    )
    export_onnx(network, inputs, tmp_path / "model.onnx")
    artifact = open_artifact(tmp_path / "model.onnx")
    given, config = arrays(inputs), EnsembleConfig(samples=5, seed=3)
    model = rt.load(tmp_path / "model.onnx")
    found = model.predict(given, samples=5, seed=3)
    engine = open_engine("onnxruntime", artifact)
    expected = engine.ensemble(engine.accepted(given), config)
    assert_close(found, [output.mean for output in expected.outputs])
    part = {name: array[4:] for name, array in given.items()}
    alone = model.predict(part, samples=5, seed=3, image_offset=4)
    np.testing.assert_array_equal(alone[0], found[0][4:])
    assert verify(artifact, given, network=network).is_equal


class Choice(nn.Module):
    """An input has the name of one that chooses random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.noisy = bnn.Sign(noise="logistic")
        self.dense = bnn.BinaryLinear(8, 3)

    def forward(self, x: Tensor, seed: Tensor) -> Tensor:
        y: Tensor = self.dense(self.noisy(x + seed))
        return y


def test_an_input_named_as_a_choice_of_random_numbers_gets_another_name(tmp_path: Path) -> None:
    x = torch.randn(4, 8)
    export_onnx(Choice().eval(), (x, x), tmp_path / "model.onnx")
    model = rt.load(tmp_path / "model.onnx")
    assert [one.name for one in model.inputs] == ["x", "seed#2"]
    assert model.predict((x.numpy(), x.numpy()), samples=3).shape == (4, 3)


def test_batch_norms_are_calibrated_on_several_inputs(tmp_path: Path) -> None:
    name = "siamese"
    network, inputs = random_network(name), random_inputs(name, 40)
    first = {key: tensor[:1] for key, tensor in inputs.items()}
    export_onnx(network, first, tmp_path / "model.onnx", calibrate=inputs)
    artifact = open_artifact(tmp_path / "model.onnx")
    assert '"images": 40' in artifact.metadata["calibration"]
    assert verify(artifact, arrays(inputs), network=network).is_equal
    only = {"left": inputs["left"]}
    with pytest.raises(UsageError, match="inputs to calibrate with for left, right, got left"):
        export_onnx(network, first, tmp_path / "other.onnx", calibrate=only)


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("name", PLAIN)
def test_files_of_others_keep_the_names(name: str, dynamo: bool, tmp_path: Path) -> None:
    network, inputs = random_network(name, 2, plain=True), random_inputs(name, 4, 2)
    expected = outputs(network, inputs)
    names = ["distance", "difference"][: len(expected)]
    source, path = tmp_path / "source.onnx", tmp_path / "model.onnx"
    export_plainly(network, inputs, source, names, dynamo=dynamo)
    report = convert_onnx(source, path).artifact
    model = rt.load(path)
    assert tuple(one.name for one in model.inputs) == tuple(inputs)
    assert model.output_names == (tuple(names) if len(names) > 1 else ("scores",))
    assert_close(model.run(arrays(inputs)), expected)
    assert any(layer.kind == "binary" for layer in report.layers)


def export_plainly(
    network: nn.Module, inputs: dict[str, Tensor], path: Path, outputs: list[str], *, dynamo: bool
) -> None:
    """Write a network by torch's own exporter, which knows nothing of binary layers."""
    options: dict[str, Any] = {"dynamic_axes": {name: {0: "n"} for name in inputs}}
    if dynamo:
        free = {0: torch.export.Dim("n")}
        options = {"dynamic_shapes": (free,) * len(inputs), "verbose": False}
    options |= {"dynamo": dynamo, "input_names": list(inputs), "output_names": outputs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ask_torch(network, tuple(inputs.values()), f=str(path), **options)


def test_what_takes_one_input_says_so(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    exported("siamese", path)
    artifact = open_artifact(path)
    for export in (lambda: to_tflite(artifact), lambda: export_c(artifact, tmp_path / "c")):
        with pytest.raises(UnsupportedError, match=r"this one has 2 \(left, right\): build"):
            export()
    assert not (tmp_path / "c").exists()
    with pytest.raises(UsageError, match="one input for images, got one with the inputs left, ri"):
        rt.load(path).classify(np.zeros((8, 8), np.uint8))


def test_examples_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    network, inputs = random_network("siamese"), random_inputs("siamese", 3)
    with pytest.raises(UsageError, match="as many rows in each input, got 'left' has 3, 'right'"):
        export_onnx(network, (inputs["left"], inputs["right"][:2]), tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="example batch of 'right' of uint8"):
        export_onnx(network, (inputs["left"], inputs["right"].double()), tmp_path / "model.onnx")
    with pytest.raises(UsageError, match=r"forward \(left, right\), got 3 in a tuple"):
        export_onnx(network, (inputs["left"],) * 3, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_commands(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    network, inputs = exported("image and features", path)
    np.savez(tmp_path / "in.npz", **arrays(inputs))
    assert "wrote" in succeed("run", path, tmp_path / "in.npz", "-o", tmp_path / "out.npz")
    assert "-o OUT.npz for" in fail("run", path, tmp_path / "in.npz")
    with np.load(tmp_path / "out.npz") as found:
        assert list(found) == ["scores", "size"]
        assert_close(list(found.values()), outputs(network, inputs))
    about = json.loads(succeed("info", path, "--json"))
    assert [one["name"] for one in about["metadata"]["inputs"]] == ["image", "features"]
    assert "input:       features float32 5" in succeed("info", path)
    assert json.loads(succeed("verify", path, "--data", tmp_path / "in.npz", "--json"))["is_equal"]
    assert "random inputs" in succeed("verify", path, "--images", "3")
    measured = succeed("bench", path, "--engines", "bnnkit,onnxruntime", "--seconds", "0.01")
    assert "onnxruntime" in measured


def test_commands_say_what_they_take(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    exported("siamese", path)
    np.save(tmp_path / "in.npy", np.zeros((1, 2, 8, 8), np.float32))
    np.savez(tmp_path / "in.npz", left=np.zeros((1, 2, 8, 8), np.float32))
    out = tmp_path / "out.npy"
    assert "an .npz file with the inputs left, right" in fail(
        "run", path, tmp_path / "in.npy", "-o", out
    )
    assert "expected the arrays left, right; got left" in fail(
        "run", path, tmp_path / "in.npz", "-o", out
    )
    assert "--data FILE.npz" in fail("verify", path, "--data", tmp_path / "in.npy")
    assert not out.exists()
