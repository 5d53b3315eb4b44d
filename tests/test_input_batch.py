"""Several inputs of a network: their forms, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx_graphs import network

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.input_batch import InputBatch, feeds
from bnnkit.artifact.reference import Reference
from bnnkit.bench.benchmark import random_images, random_inputs
from bnnkit.cli.array_files import write_arrays
from bnnkit.data.npz import read_named
from bnnkit.errors import FileError, UnsupportedError, UsageError
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model

Array = NDArray[Any]
RNG = np.random.default_rng(0)
WEIGHT = RNG.choice([-1.0, 1.0], (12, 8)).astype(np.float32)
BODY = (
    "d = Mul(x, scale) e = Where(mask, d, x) p = GreaterOrEqual(e, zero) s = Where(p, one, minus) "
    "c = MatMul(s, w) r = Gather(table, rows) y = Add(c, r)"
)
INPUTS = "float[N, 12] x, float[N] scales, bool[N, 12] mask, int64[N] rows"
TABLE = RNG.normal(size=(5, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def source() -> onnx.ModelProto:
    body = "a = Constant<value = int64[1] {1}>() scale = Unsqueeze(scales, a) " + BODY
    return network(body, INPUTS, "float[N, 8] y, float[N, 8] c", {"w": WEIGHT, "table": TABLE})


@pytest.fixture(scope="module")
def artifact(source: onnx.ModelProto) -> Artifact:
    return from_onnx(source)[0]


def drawn(rows: int) -> dict[str, Array]:
    return {
        "x": RNG.normal(size=(rows, 12)).astype(np.float32),
        "scales": RNG.normal(size=rows).astype(np.float32),
        "mask": RNG.random((rows, 12)) < 0.5,
        "rows": RNG.integers(0, 5, rows),
    }


def computed(given: dict[str, Array]) -> tuple[Array, Array]:
    """The network in NumPy."""
    x = np.where(given["mask"], given["x"] * given["scales"][:, None], given["x"])
    sums = np.where(x >= 0, 1.0, -1.0).astype(np.float32) @ WEIGHT
    return sums + TABLE[given["rows"]], sums


def test_names_and_order_are_those_of_the_source(artifact: Artifact) -> None:
    model = Model(artifact)
    assert [one.name for one in model.inputs] == ["x", "scales", "mask", "rows"]
    assert [one.shape for one in model.inputs] == [(12,), (), (12,), ()]
    assert model.output_names == ("y", "c")
    assert {"BinaryLinear"} <= {node.op_type for node in artifact.model.graph.node}
    for rows in (1, 70):  # more than are computed together
        given = drawn(rows)
        expected = computed(given)
        backwards = dict(reversed(given.items()))
        for form in (given, backwards, tuple(given.values()), list(given.values())):
            for found, want in zip(model.run(form), expected, strict=True):
                np.testing.assert_array_equal(found, want)
        for found, want in zip(Reference(artifact).run(InputBatch(given)), expected, strict=True):
            np.testing.assert_array_equal(found, want)


def test_inputs_that_do_not_fit_are_refused(artifact: Artifact) -> None:
    model, given = Model(artifact), drawn(3)
    expected = (
        r"expected 4 inputs, 'x' float32 \(N, 12\) and 'scales' float32 \(N\) and 'mask' bool"
    )
    others = {name: array for name, array in given.items() if name != "x"}
    for form, got in (
        (given["x"], "got one array"),
        ((given["x"],) * 3, "got a tuple of 3"),
        (others | {"y": given["x"]}, "names 'scales', 'mask', 'rows', 'y'"),
        (others, "names 'scales', 'mask', 'rows'$"),
        ({}, "names none"),
    ):
        with pytest.raises(UsageError, match=f"{expected}.*{got}"):
            model.run(form)
    with pytest.raises(UsageError, match="'x' has 2, 'scales' has 3"):
        model.run(given | {"x": given["x"][:2]})
    with pytest.raises(UsageError, match="the input 'mask': expected bool"):
        model.run(given | {"mask": given["mask"].astype(np.int64)})
    with pytest.raises(UsageError, match="the input 'scales': expected finite numbers"):
        model.run(given | {"scales": np.array([1, np.nan, 2], np.float32)})


def test_an_input_that_is_an_output_keeps_its_name() -> None:
    body = "p = GreaterOrEqual(x, zero) s = Where(p, one, minus) y = MatMul(s, w)"
    source = network(
        body,
        "float[N, 12] x, float[N, 3] o",
        "float[N, 8] y, float[N, 3] o",
        {"w": WEIGHT},
    )
    model, given = Model(from_onnx(source)[0]), (drawn(3)["x"], np.ones((3, 3), np.float32))
    assert [one.name for one in model.inputs] == ["x", "o"]
    assert model.output_names == ("y", "o")
    np.testing.assert_array_equal(model.run(given)[1], given[1])


@pytest.mark.parametrize("row", [5, -6])
def test_an_index_out_of_range_is_refused(row: int, artifact: Artifact) -> None:
    given = InputBatch(drawn(3) | {"rows": np.array([0, row, 4])})
    for run in (Model(artifact).run, Reference(artifact).run, Reference(artifact).run_all):
        with pytest.raises(UsageError, match=f"index computed from the inputs.*{row}"):
            run(given)


def test_outputs_may_have_any_names(tmp_path: Path) -> None:
    """Also those of the arguments of np.savez."""
    arrays = {name: RNG.normal(size=2) for name in ("file", "allow_pickle", "kwds", "a/b.npy")}
    write_arrays(tmp_path / "out.npz", arrays)
    found = read_named(tmp_path / "out.npz", list(arrays))
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    with np.load(tmp_path / "out.npz") as loaded:
        np.testing.assert_array_equal(loaded["file"], arrays["file"])


def test_python_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.array([None]))
    with pytest.raises(FileError, match=r"it holds Python objects$"):
        read_named(tmp_path / "in.npz", ["x"])


def test_one_input_may_be_given_by_its_name() -> None:
    body = "p = GreaterOrEqual(x, zero) s = Where(p, one, minus) y = MatMul(s, w)"
    model = Model(from_onnx(network(body, "float[N, 12] x", "float[N, 8] y", {"w": WEIGHT}))[0])
    x = RNG.normal(size=(3, 12)).astype(np.float32)
    for form in ((x,), {"input": x}):
        np.testing.assert_array_equal(model.run(form), model.run(x))
    with pytest.raises(UsageError, match=r"the input, 'input' float32 \(N, 12\), .*names 'x'"):
        model.run({"x": x})


def test_a_batch_has_the_slices_of_an_array() -> None:
    given = drawn(5)
    batch = InputBatch(given)
    assert len(batch) == 5
    assert len(batch[3:]) == 2
    np.testing.assert_array_equal(batch[np.array([4, 0])].arrays["rows"], given["rows"][[4, 0]])
    assert feeds(["x"], given["x"])["x"] is given["x"]
    with pytest.raises(UsageError, match="expected the inputs x, y, got one array"):
        feeds(["x", "y"], given["x"])


def test_random_inputs_index_what_there_is(artifact: Artifact) -> None:
    found = random_inputs(artifact, 50)
    assert isinstance(found, InputBatch)
    rows, mask = found.arrays["rows"], found.arrays["mask"]
    assert (rows.min(), rows.max(), mask.dtype) == (0, 4, np.dtype(np.bool_))
    Model(artifact).run(found)
    with pytest.raises(UnsupportedError, match="networks with one input, this one has 4"):
        random_images(artifact, 1)
