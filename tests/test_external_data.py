"""Weights in other files: `convert` reads those beside the source; nothing else reads them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import network

from bnnkit.artifact.format.graph import graph_of
from bnnkit.artifact.format.tensors import is_external, tensors_of
from bnnkit.errors import ArtifactError, FileError, UnsupportedError
from bnnkit.export import convert_onnx, to_tflite
from bnnkit.export.from_onnx import external_weights
from bnnkit.export.from_onnx.read_source import read_source
from bnnkit.runtime import load

WEIGHT = np.random.default_rng(0).choice([-1.0, 1.0], (12, 8)).astype(np.float32)
BODY = "p = GreaterOrEqual(x, zero) s = Where(p, one, minus) y = MatMul(s, w)"


def external(location: str = "secret.bin", **entries: int) -> TensorProto:
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def plain() -> onnx.ModelProto:
    return network("y = Relu(x)", "float[N, 4] x", "float[N, 4] y")


def in_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(external())


def in_constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=external()))


def in_list(model: onnx.ModelProto) -> None:
    node = helper.make_node("Relu", ["x"], ["c"])
    node.attribute.append(helper.make_attribute("parts", [external()]))
    model.graph.node.append(node)


def in_sparse_values(model: onnx.ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add(dims=[4])
    sparse.values.CopyFrom(external())


def in_sparse_attribute(model: onnx.ModelProto) -> None:
    node = model.graph.node.add(op_type="Constant", output=["c"])
    attribute = node.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.indices.CopyFrom(external())


def in_branch(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "b", [], [helper.make_tensor_value_info("c", 1, [4])])
    branch.initializer.append(external())
    inner = helper.make_node("If", ["q"], ["i"], then_branch=branch, else_branch=branch)
    outer = helper.make_graph([inner], "o", [], [])
    model.graph.node.append(helper.make_node("Loop", [], ["l"], body=outer))


def in_function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["c"], value=external())
    function = model.functions.add(name="f", domain="own", output=["c"])
    function.node.append(node)


def in_default_of_function(model: onnx.ModelProto) -> None:
    function = model.functions.add(name="f", domain="own")
    function.attribute_proto.append(helper.make_attribute("value", external()))


def in_training(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.initializer.append(external())


PLACES: list[Callable[[onnx.ModelProto], None]] = [
    in_initializer, in_constant, in_list, in_sparse_values, in_sparse_attribute, in_branch,
    in_function, in_default_of_function, in_training,
]  # fmt: skip


@pytest.mark.parametrize("put", PLACES)
def test_no_other_file_is_read(
    put: Callable[[onnx.ModelProto], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.ones(4, np.float32).tofile("secret.bin")
    model = plain()
    assert not any(map(is_external, tensors_of(model)))
    put(model)
    assert [tensor.name for tensor in tensors_of(model) if is_external(tensor)][:1] == ["c"]
    Path("a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match="keeps its weights in other files"):
        load("a.onnx")


def test_a_model_in_memory_reads_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.ones(4, np.float32).tofile("secret.bin")
    for put in (in_initializer, in_constant):
        model = plain()
        put(model)
        with pytest.raises(ArtifactError, match="'c' is in another file"):
            graph_of(model)
        with pytest.raises(UnsupportedError, match="names other files"):
            to_tflite(model)


@pytest.mark.parametrize("convert_attribute", [False, True])
def test_weights_beside_the_source(convert_attribute: bool, tmp_path: Path) -> None:
    model = network(BODY, "float[N, 12] x", "float[N, 8] y")
    node = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(WEIGHT, "w"))
    if convert_attribute:
        model.graph.node.insert(0, node)
    else:
        model.graph.initializer.append(numpy_helper.from_array(WEIGHT, "w"))
    onnx.save(model, tmp_path / "one.onnx")
    (tmp_path / "weights").mkdir()
    onnx.save(
        model, tmp_path / "a.onnx", save_as_external_data=True, location="weights/w.bin",
        size_threshold=0, convert_attribute=convert_attribute,
    )  # fmt: skip
    convert_onnx(tmp_path / "one.onnx", tmp_path / "b.onnx")
    convert_onnx(tmp_path / "a.onnx", tmp_path / "c.onnx")
    assert (tmp_path / "b.onnx").read_bytes() == (tmp_path / "c.onnx").read_bytes()


LOCATIONS = {
    "missing": ({}, r"cannot read the weights of .*No such file"),
    "/etc/hostname": ({}, "expected a file beside it"),
    "../secret.bin": ({}, "expected a file beside it"),
    "sub/../../secret.bin": ({}, "expected a file beside it"),
    "..\\secret.bin": ({}, "expected a file beside it"),
    "C:/secret.bin": ({}, "expected a file beside it"),
    "": ({}, "expected a file beside it"),
    "link.bin": ({}, "is a link out of its folder"),
    "sub": ({}, "is no file"),
    "w.bin": ({"length": 12}, "expected a length of 16 bytes, got 12"),
    "./w.bin": ({"offset": 4}, "ends before byte 20"),
    ".//w.bin": ({"offset": -4}, "expected a number as its offset, got '-4'"),
}


@pytest.mark.parametrize("location", LOCATIONS)
def test_other_locations_are_refused(location: str, tmp_path: Path) -> None:
    entries, words = LOCATIONS[location]
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    np.ones(4, np.float32).tofile(tmp_path / "secret.bin")
    np.ones(4, np.float32).tofile(folder / "w.bin")
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    model = plain()
    model.graph.initializer.append(external(location, **entries))
    (folder / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match=words):
        read_source(folder / "a.onnx")


def test_two_gibibytes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "a.onnx").open("wb") as file:
        file.truncate(2**31)  # takes no space
    with pytest.raises(FileError, match=r"a.onnx has 2.0 GiB: an ONNX file has less"):
        convert_onnx(tmp_path / "a.onnx", tmp_path / "b.onnx")
    with pytest.raises(ArtifactError, match=r"a.onnx has 2.0 GiB: a model file has less"):
        load(tmp_path / "a.onnx")
    model = plain()
    model.graph.initializer.append(external("w.bin"))
    model.graph.initializer[-1].dims[:] = [2**29]
    (tmp_path / "c.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match=r"has 2.0 GiB with its weights"):
        external_weights.load_external_weights(model, tmp_path / "c.onnx")
