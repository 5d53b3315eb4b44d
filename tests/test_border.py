"""Whatever goes wrong becomes an error of bnnkit's, with its cause; names are shown safely."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, cast

import numpy as np
import onnx
import pytest
from command_line import fail, run
from onnx import TensorProto, helper

import bnnkit.nn as bnn
import bnnkit.runtime as rt
from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.border import DEBUG, border
from bnnkit.cli.console import print_json, print_table, write
from bnnkit.data import Dataset
from bnnkit.errors import (
    ArtifactError,
    BnnkitError,
    ConfigError,
    FileError,
    UsageError,
    brief,
    printable,
)
from bnnkit.export import convert_onnx

HOSTILE = "a\x1b]0;title\x07\x9b31m\u202e\x00b"
SHOWN = r"a\x1b]0;title\x07\x9b31m\u202e\x00b"


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("division by zero"),
        KeyError("name"),
        OverflowError("too large"),
        RecursionError("too deep"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        AssertionError(),
        StopIteration(),
        RuntimeError("first line\n  second line"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_nobody_expected_becomes_an_error_with_its_cause(error: Exception) -> None:
    with pytest.raises(FileError) as raised, border(FileError, "file.npz"):
        raise error
    assert raised.value.__cause__ is error
    message = str(raised.value)
    assert message.startswith("file.npz: probably a damaged file, or a fault of bnnkit: ")
    assert type(error).__name__ in message
    assert message.endswith(f"{DEBUG}=1 shows the traceback")
    assert "\n" not in message


def test_the_place_is_a_line_of_ours() -> None:
    with (
        pytest.raises(FileError, match=r"AttributeError in bnnkit/errors\.py:\d+: "),
        border(FileError, "x"),
    ):
        printable(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't allocate memory: 5 bytes")])
def test_memory_is_named(error: Exception) -> None:
    with (
        pytest.raises(ConfigError, match=r"^here: not enough memory") as raised,
        border(ConfigError, "here"),
    ):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [UsageError("ours"), KeyboardInterrupt(), SystemExit(3)])
def test_errors_of_ours_and_interrupts_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, border(FileError, "file"):
        raise error
    assert raised.value is error


def _stop(number: int, frame: FrameType | None, reason: str = "") -> None:
    raise TimeoutError(reason)


class Stop:
    def __call__(self, number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    def method(self, number: int, frame: FrameType | None) -> None:
        raise TimeoutError


@pytest.mark.parametrize(
    "handler",
    [
        _stop,
        Stop(),
        Stop().method,
        partial(_stop, reason="x"),
        partial(partial(Stop())),
        partial(Stop().method),
    ],
)
def test_an_exception_of_the_callers_signal_handler_passes(
    handler: Callable[[int, FrameType | None], None],
) -> None:
    former = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(TimeoutError), border(FileError, "file"):
            signal.raise_signal(signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, former)


@pytest.mark.parametrize("name", ["run", "run_sample", "predict", "ensemble", "trace"])
@pytest.mark.parametrize("wrong", ["thread", "sample_s"])
def test_a_wrong_argument_is_not_blamed_on_the_file(
    digits_model: Path, name: str, wrong: str
) -> None:
    method: Any = getattr(rt.load(digits_model), name)
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{wrong}'"):
        method(np.zeros((1, 1, 8, 8), np.uint8), **{wrong: 2})
    with pytest.raises(TypeError, match="missing"):
        method()


@pytest.mark.parametrize("function", [rt.load, convert_onnx])
def test_a_wrong_argument_of_a_function(function: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'file'"):
        function(file="x.onnx")
    with pytest.raises(TypeError, match="missing"):
        function()


def test_load_and_run(digits_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = rt.load(digits_model)
    images = np.zeros((2, *model.input_shape), model.input_dtype)
    with monkeypatch.context() as patch:
        patch.setattr(rt.Model, "_compute", lambda *_: 1 / 0)
        for action in (model.run, model.predict, model.trace):
            with pytest.raises(
                ArtifactError, match=r"running the model: .*ZeroDivisionError"
            ) as e:
                action(images)
            assert isinstance(e.value.__cause__, ZeroDivisionError)
    monkeypatch.setattr("bnnkit.runtime.model.Plan", lambda *_, **__: {"a": 1}["b"])
    with pytest.raises(ArtifactError, match=r"digits\.onnx: .*KeyError"):
        rt.load(digits_model)


def test_a_fault_of_ours_in_a_command(
    digits_model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bnnkit.cli.info.report", lambda *_: [][0])
    assert "fault of bnnkit: IndexError in " in fail("info", digits_model)
    monkeypatch.setenv(DEBUG, "1")
    result = run("info", digits_model)
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "IndexError: list index out of range" in result.stderr


@pytest.mark.parametrize("kind", [BnnkitError, UsageError, ArtifactError])
def test_a_message_is_one_printable_line(kind: type[BnnkitError]) -> None:
    error = kind(f"a node {HOSTILE}\r\n  of é\u2028ß")
    assert str(error) == rf"a node {SHOWN} of é\u2028ß"
    assert str(kind(str(error))) == str(error), "escaping twice is escaping once"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_long_message_is_shortened() -> None:
    message = str(UsageError("begin " + "x" * 10**6 + " end"))
    assert len(message) < 2100
    assert message.startswith("begin")
    assert message.endswith("end")
    assert "characters]" in message


def test_values_are_shown_in_short() -> None:
    assert brief(5) == "5"
    assert brief(2**20000) == "an integer of 20001 bits"
    nested: list[object] = []
    nested.append(nested)
    assert len(brief([nested] * 1000)) < 200
    assert len(brief("x" * 10**6)) < 100


def test_names_of_a_file_are_printed_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    write(HOSTILE)
    print_table(HOSTILE, ("name",), [(HOSTILE,)])
    print_json({HOSTILE: ["\ud800", "é"]})
    printed = capsys.readouterr().out
    assert printed.replace("\n", "").isprintable()
    assert printed.count(SHOWN) == 3
    json.loads(printed[printed.index("{") :])


def _model(path: Path, name: str, operator: str) -> Path:
    """A file whose every name is `name`."""
    x, y = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 4]) for n in (name, name + "y")
    )
    node = helper.make_node(operator, [name], [name + "y"], name=name)
    graph = helper.make_graph([node], name, [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    model.metadata_props.add(key="bnnkit.dataset", value=name)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("command", [["info"], ["info", "--json"], ["verify"]])
def test_commands_show_the_names_of_a_file_escaped(tmp_path: Path, command: list[str]) -> None:
    name = HOSTILE.replace("\x00", "")
    for operator in ("Relu", "Selu"):
        result = run(*command, _model(tmp_path / "m.onnx", name, operator))
        assert (result.stdout + result.stderr).replace("\n", "").isprintable()


def test_a_path_is_shown_escaped(tmp_path: Path) -> None:
    assert SHOWN.replace(r"\x00", "") in fail("info", tmp_path / HOSTILE.replace("\x00", ""))


def test_integers_of_numpy_are_integers(digits_model: Path) -> None:
    model = rt.load(digits_model)
    images = np.ones((3, *model.input_shape), model.input_dtype)
    want = model.run(images)
    for threads in (np.int64(1), np.int32(2), np.uint8(2)):
        np.testing.assert_array_equal(model.run(images, threads=int(threads)), want)
        np.testing.assert_array_equal(model.run(images, threads=threads), want)  # type: ignore[arg-type]
    for wrong in (True, 1.0, np.float64(1), np.bool_(True)):
        with pytest.raises(UsageError, match="expected 1 to 256 threads"):
            model.run(images, threads=wrong)  # type: ignore[arg-type]
    rate: Any = np.float32(0.25)
    assert EnsembleConfig(error_rate=rate).error_rate == 0.25
    two, three, four, one = (cast(int, np.int64(number)) for number in (2, 3, 4, 1))
    layer = bnn.BinaryConv2d(two, four, three, stride=(one, two), groups=two)
    assert str(layer.geometry) == str(bnn.BinaryConv2d(2, 4, 3, stride=(1, 2), groups=2).geometry)
    with pytest.raises(UsageError, match="expected in_channels to be an int"):
        bnn.BinaryConv2d(2.0, 4, 3)  # type: ignore[arg-type]
    zero_points: Any = np.array([1, 2])
    assert bnn.IntegerConv2d(2, 4, 3, zero_point=zero_points).zero_point.tolist() == [1, 2]


def test_masked_arrays_are_refused(digits_model: Path) -> None:
    model = rt.load(digits_model)
    plain = np.ones((3, *model.input_shape), model.input_dtype)
    images: Any = np.ma.MaskedArray(plain)  # type: ignore[no-untyped-call]
    with pytest.raises(UsageError, match=r"in a plain array, got a masked one: fill it"):
        model.run(images)
    with pytest.raises(UsageError, match="x_train is a masked array"):
        Dataset(
            name="x",
            x_train=images,
            y_train=np.zeros(3, np.int64),
            x_test=images,
            y_test=np.zeros(3, np.int64),
            classes=("a",),
        )


@pytest.mark.slow
def test_a_terminal_without_the_characters(digits_model: Path, tmp_path: Path) -> None:
    shutil.copy(digits_model, tmp_path / "\u03a9.onnx")
    done = subprocess.run(
        [sys.executable, "-m", "bnnkit", "info", "\u03a9.onnx", "--json"],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["file"] == "\u03a9.onnx"
