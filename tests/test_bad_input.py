"""What is wrong is said in one line, with exit code 2, and nothing is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from artifacts import ArtifactBuilder
from command_line import fail, is_empty
from numpy.typing import NDArray
from onnx import helper

from bnnkit.artifact.operators.functions import function
from bnnkit.engines import ENGINES

NOT_MODELS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda content: b"", "not an ONNX file"),
    "text": (lambda content: b"hello, world\n" * 20, "not an ONNX file"),
    "zeros": (lambda content: bytes(1000), "not an ONNX file"),
    "array": (lambda content: b"\x93NUMPY" + content, "not an ONNX file"),
    "half": (lambda content: content[: len(content) // 2], "truncated"),
    "all but a byte": (lambda content: content[:-1], "truncated"),
}


@pytest.mark.parametrize("kind", NOT_MODELS)
@pytest.mark.parametrize("command", ["run", "eval", "verify", "bench", "info"])
def test_no_model_file(command: str, kind: str, model: Path, images: Path, out: Path) -> None:
    change, expected = NOT_MODELS[kind]
    model.write_bytes(change(model.read_bytes()))
    rest = [images, "-o", out] if command == "run" else []
    said = fail(command, model, *rest)
    assert str(model) in said
    assert expected in said
    assert is_empty(out.parent)


@pytest.mark.parametrize("command", ["run", "eval", "verify", "bench", "info"])
def test_missing_model(command: str, tmp_path: Path, images: Path, out: Path) -> None:
    rest = [images, "-o", out] if command == "run" else []
    said = fail(command, tmp_path / "none.onnx", *rest)
    assert said == f"cannot read {tmp_path / 'none.onnx'}: No such file or directory"


def _with_operator(model: Path, operator: str, domain: str, name: str) -> None:
    network = onnx.load(model)
    output = network.graph.output[0].name
    network.graph.node[-1].output[0] = "before"
    network.graph.node.append(
        helper.make_node(operator, ["before"], [output], name, domain=domain)
    )
    if domain not in {opset.domain for opset in network.opset_import}:
        network.opset_import.append(helper.make_opsetid(domain, 1))
    onnx.save(network, model)


@pytest.mark.parametrize(
    ("operator", "domain", "shown"),
    [
        ("Strange", "my.own", "my.own.Strange"),
        ("Ternary", "bnnkit", "bnnkit.Ternary"),
        ("Hardmax", "", "Hardmax"),
        ("NoSuchOperator", "", "NoSuchOperator"),
    ],
)
@pytest.mark.parametrize("command", ["run", "eval", "verify"])
def test_operator_that_the_runtime_lacks(
    command: str, operator: str, domain: str, shown: str, model: Path, images: Path, out: Path
) -> None:
    _with_operator(model, operator, domain, "head/strange")
    rest = [images, "-o", out] if command == "run" else ["--data", "digits"]
    said = fail(command, model, *rest)
    assert shown in said
    assert "head/strange" in said
    assert is_empty(out.parent)


@pytest.mark.parametrize("command", ["run", "info", "bench"])
def test_newer_format(command: str, model: Path, images: Path, out: Path) -> None:
    network = onnx.load(model)
    for opset in network.opset_import:
        if opset.domain == "bnnkit":
            opset.version = 2
    onnx.save(network, model)
    rest = [images, "-o", out] if command == "run" else []
    said = fail(command, model, *rest)
    assert "format version 2, this bnnkit reads up to 1: upgrade bnnkit" in said


@pytest.mark.parametrize("engine", ENGINES)
def test_damaged_weights(engine: str, model: Path, images: Path, out: Path) -> None:
    network = onnx.load(model)
    node = next(n for n in network.graph.node if n.op_type == "BinaryConv2dThreshold")
    weight = next(t for t in network.graph.initializer if t.name == node.input[1])
    weight.CopyFrom(onnx.numpy_helper.from_array(np.zeros(3, np.uint8), weight.name))
    onnx.save(network, model)
    fail("run", model, images, "-o", out, "--engine", engine)
    assert is_empty(out.parent)


def _object_array(path: Path) -> None:
    np.save(path, np.array([{}, "x"], dtype=object), allow_pickle=True)


def _archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, x=np.zeros(3))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


NOT_ARRAYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), "cannot read"),
    "empty": (
        lambda path: path.write_bytes(b""),
        "cannot be read as a .npy file: it is an empty file",
    ),
    "text": (lambda path: path.write_text("1 2 3\n"), ".npy file: it is a text file"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:300]), "it is damaged"),
    "header only": (lambda path: path.write_bytes(path.read_bytes()[:60]), "it is damaged"),
    "objects": (_object_array, "it is no array, or one of Python objects"),
    "archive": (_archive, "is an archive of arrays: expected a .npy file with one array"),
    "folder": (_folder, "Is a directory"),
}


@pytest.mark.parametrize("kind", NOT_ARRAYS)
@pytest.mark.parametrize("command", ["run", "verify"])
def test_no_array_file(command: str, kind: str, model: Path, images: Path, out: Path) -> None:
    make, expected = NOT_ARRAYS[kind]
    make(images)
    rest = [images, "-o", out] if command == "run" else ["--data", images]
    said = fail(command, model, *rest)
    assert str(images) in said
    assert expected in said
    assert is_empty(out.parent)


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (np.zeros((3, 1, 8, 9), np.uint8), "got uint8 of shape (3, 1, 8, 9)"),
        (
            np.zeros((1, 8, 8), np.uint8),
            "got uint8 of shape (1, 8, 8); add the batch axis: inputs[None]",
        ),
        (np.zeros((), np.uint8), "got uint8 of shape ()"),
        (
            np.zeros((3, 1, 8, 8), np.float32),
            "got float32 of shape (3, 1, 8, 8); the values are from 0 to 1, the model takes pixels"
            " from 0 to 255: np.rint(255 * inputs).astype(np.uint8)",
        ),
        (
            np.zeros((3, 1, 8, 8), np.int64),
            "got int64 of shape (3, 1, 8, 8); convert them: inputs.astype(np.uint8)",
        ),
        (np.zeros((0, 1, 8, 8), np.uint8), "got no images"),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_wrong_inputs(
    engine: str, array: NDArray[Any], got: str, model: Path, images: Path, out: Path
) -> None:
    np.save(images, array)
    said = fail("run", model, images, "-o", out, "--engine", engine)
    assert said.startswith(f"{images}: expected uint8 of shape (N, 1, 8, 8)")
    assert said.endswith(got)
    assert is_empty(out.parent)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("engine", ENGINES)
def test_nan_is_named_with_its_place(
    engine: str, value: float, tmp_path: Path, images: Path, out: Path
) -> None:
    a = ArtifactBuilder()
    signs = a.sign("x")
    network = a.artifact((2, 3, 3), signs, sizes={signs: (2, 3, 3)})
    network.model.functions.append(function("Sign"))
    onnx.save(network.model, tmp_path / "m.onnx")
    array = np.zeros((700, 2, 3, 3), np.float32)
    array[600, 1, 2, 0] = value
    np.save(images, array)
    said = fail("run", tmp_path / "m.onnx", images, "-o", out, "--engine", engine)
    assert said.endswith(
        f"expected finite numbers, got {value} in the input at index [600, 1, 2, 0]"
    )
    assert is_empty(out.parent)


@pytest.mark.parametrize(
    ("content", "overrides", "expected"),
    [
        ("learning_rate: 0.1\n", [], "unknown key learning_rate; valid keys: "),
        ("data: {}\nmodel: {}\n", ["model.widht=3"], "config.yaml: expected options of convnet"),
        ("epochs: 1\n", ["nothing"], "config.yaml: expected an override key=value, got 'nothing'"),
        ("epochs: many\n", [], "epochs: "),
        ("epochs: -1\n", [], "epochs: "),
        ("{", [], "is not valid YAML"),
        ("- 1\n- 2\n", [], "expected 'key: value' lines"),
        ("# nothing\n", [], "config.yaml: expected at least data and model"),
        ("data: {}\nmodel: {name: perceiver}\n", [], "config.yaml: expected a model out of"),
        ("data: {}\nmodel: {noise: foo}\n", [], "config.yaml: model convnet for inputs"),
        ("data: {name: imagenet}\nmodel: {}\n", [], "imagenet"),
        ("data: {name: mnist, dir: /nowhere}\nmodel: {}\n", [], "--data-dir DIR"),
    ],
)
def test_bad_configuration(
    content: str, overrides: list[str], expected: str, tmp_path: Path
) -> None:
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(content)
    assert expected in fail("train", config, *overrides, "--out", run)
    assert not (run / "checkpoint.safetensors").exists()


def test_missing_configuration(tmp_path: Path) -> None:
    said = fail("train", tmp_path / "none.yaml", "--out", tmp_path / "run")
    assert "No such file or directory" in said
    assert list(tmp_path.iterdir()) == []


def test_data_of_another_shape(digits_run: Path, digits_model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = tmp_path / "data.npz"
    np.savez(data, x=rng.integers(0, 256, (20, 3, 8, 8)).astype(np.uint8), y=np.arange(20) % 10)
    for path in (digits_model, digits_run):
        assert "(N, 1, 8, 8)" in fail("eval", path, "--data", data)
    assert "(N, 1, 8, 8)" in fail("verify", digits_model, "--data", data)


def test_an_array_without_axes(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "scalar.npy", np.uint8(3))
    said = fail("verify", model, "--data", tmp_path / "scalar.npy")
    assert said.startswith(f"{tmp_path / 'scalar.npy'}: expected uint8 of shape (N, 1, 8, 8)")


def test_a_benchmark_that_could_not_be_written_is_not_made(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bnnkit.cli import bench

    monkeypatch.delattr(bench, "benchmark")
    assert "it is a folder" in fail("bench", model, "--json", tmp_path)
    assert "there is no folder" in fail("bench", model, "--json", tmp_path / "no" / "x.json")
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    assert "cannot be written to" in fail("bench", model, "--json", tmp_path / "x.json")


def test_another_engine_is_advised_where_it_can_be_chosen(
    model: Path, images: Path, out: Path
) -> None:
    _with_operator(model, "Hardmax", "", "head/strange")
    said = fail("run", model, images, "-o", out)
    assert said.endswith("(try --engine onnxruntime)")
    assert said.count("onnxruntime") == 1
    assert "--engine" not in fail("verify", model)


def test_unknown_data(digits_model: Path) -> None:
    assert "unknown data set 'imagenet'" in fail("eval", digits_model, "--data", "imagenet")
    assert "--data-dir DIR" in fail("eval", digits_model, "--data", "mnist", "--data-dir", "/none")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nothing"], "No such command"),
        (["run"], "Missing argument"),
        (["run", "MODEL", "IMAGES"], "Missing option"),
        (["run", "MODEL", "IMAGES", "-o", "OUT", "--engine", "tf"], "'tf' is not one of"),
        (["run", "MODEL", "IMAGES", "-o", "OUT", "--threads", "0"], "x>=1"),
        (["run", "MODEL", "IMAGES", "-o", "OUT", "--samples", "3"], "the file is deterministic"),
        (["run", "MODEL", "IMAGES", "-o", "OUT", "--samples", "-1"], "number of samples or auto"),
        (["run", "MODEL", "IMAGES", "-o", "OUT", "--samples", "1025"], "0 to 1024 samples, got"),
        (["run", "MODEL", "IMAGES", "-o", "OUT", "--samples", "all"], "or auto, got 'all'"),
        (["run", "MODEL", "IMAGES", "-o", "OUT", "--seed", "-1"], "a seed from 0 to 2^64 - 1"),
        (["run", "MODEL", "IMAGES", "-o", "OUT", "--seed", str(2**64)], "a seed from 0 to 2^64"),
        (
            ["run", "MODEL", "IMAGES", "-o", "OUT", "--error-rate", "1"],
            "error_rate between 0 and 1",
        ),
        (
            ["run", "MODEL", "IMAGES", "-o", "OUT", "--max-samples", "0"],
            "expected max_samples from 1 to 1024",
        ),
        (["run", "MODEL", "IMAGES", "-o", "OUT", "--fast"], "No such option"),
        (["run", "MODEL", "IMAGES", "-o", "x.txt"], "expected an output file OUT.npy or OUT.npz"),
        (["eval", "MODEL"], "give --data NAME"),
        (["eval", "MODEL", "--data", "digits", "--samples", "2"], "the file is deterministic"),
        (["eval", "MODEL", "--data", "digits", "--samples", "auto"], "the file is deterministic"),
        (
            ["eval", "MODEL", "--samples", "0,-1"],
            "numbers of samples or auto, separated by commas",
        ),
        (["eval", "MODEL", "--samples", "0,"], "numbers of samples or auto, separated by commas"),
        (["eval", "MODEL", "--samples", "1,1"], "each one once, got '1,1'"),
        (["eval", "MODEL", "--samples", "0,2000"], "0 to 1024 samples, got 2000"),
        (["verify", "MODEL", "--samples", "2000"], "0 to 1024 samples, got 2000"),
        (["verify"], "expected [CKPT] MODEL, got 0 paths"),
        (["verify", "MODEL", "--images", "0"], "x>=1"),
        (["bench", "MODEL", "--engines", "bnnkit,tf"], "got 'tf'"),
        (["bench", "MODEL", "--threads", "1,x"], "expected positive integers"),
        (["bench", "MODEL", "--batch", "0"], "expected positive integers"),
        (["bench", "MODEL", "--samples", "5"], "expected 0 samples, got 5"),
        (["bench", "MODEL", "--samples", "2000"], "0 to 1024 samples, got 2000"),
        (["bench", "MODEL", "--seed", "-1"], "a seed from 0 to 2^64 - 1"),
        (["bench", "MODEL", "--seconds", "inf"], "expected a positive number of seconds, got inf"),
        (["bench", "MODEL", "--seconds", "nan"], "expected a positive number of seconds, got nan"),
        (["bench", "MODEL", "--seconds", "0"], "expected a positive number of seconds, got 0.0"),
        (["bench", "MODEL", "--engines", "bnnkit,bnnkit"], "each one once, got 'bnnkit,bnnkit'"),
        (["bench", "MODEL", "--threads", "1,01"], "each one once, got '1,01'"),
        (["bench", "MODEL", "--batch", "1,1"], "each one once, got '1,1'"),
        (["bench", "MODEL", "--json"], "'--json' requires an argument"),
        (["export", "MODEL", "-o", "x.onnx"], "expected a checkpoint, got the model file"),
        (["export", "MODEL", "--to", "c", "--name", "int", "-o", "c"], "a name in C"),
        (["export", "MODEL", "--to", "tflite", "--name", "a", "-o", "x.tflite"], "--name needs"),
        (["export", "MODEL", "--to", "coreml", "-o", "x"], "'coreml' is not one of"),
    ],
)
def test_wrong_use(
    arguments: list[str], expected: str, model: Path, images: Path, out: Path
) -> None:
    paths = {"MODEL": model, "IMAGES": images, "OUT": out}
    assert expected in fail(*(paths.get(argument, argument) for argument in arguments))
    assert is_empty(out.parent)
