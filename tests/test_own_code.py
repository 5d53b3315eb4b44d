"""Your own model and data set as module:function, which run only if the module is trusted."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import fail, run

from bnnkit import data
from bnnkit.data.own_code import VARIABLE, call_own, is_own, trust_code
from bnnkit.errors import CheckpointError, ConfigError
from bnnkit.training import load_checkpoint
from bnnkit.training.checkpoint import read_metadata
from bnnkit.training.own_model import build_own

MODULE = """
from pathlib import Path

import numpy as np
from torch import nn
from os import system
import bnnkit.nn as bnn
from bnnkit.data import Dataset

Path(__file__).with_name("imported").touch()


def make(input_shape, n_classes, zero_point, *, width=8):
    return nn.Sequential(
        bnn.IntegerConv2d(input_shape[0], width, 3, padding=1, zero_point=zero_point),
        nn.BatchNorm2d(width), bnn.Sign(estimator="deterministic-st"),
        bnn.BinaryConv2d(width, width, 3, padding=1), nn.BatchNorm2d(width),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, n_classes),
    )


def load():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 1, 6, 6), dtype=np.uint8), np.arange(40) % 3
    return Dataset(
        name="mine", x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:],
        classes=("a", "b", "c"),
    )


def arrays(data_dir=None):
    x = np.full((20, 6, 6), 7 if data_dir is None else 9, np.uint8)
    return {"x": x, "y": np.arange(20) % 2}


def wrong():
    return 3


def fails(**options):
    raise KeyError("inside")


class Tiny(nn.Linear):
    def __init__(self, *, features=2):
        super().__init__(features, 2)
"""
CONFIG = """
data: {name: "NAME:load"}
model: {name: "NAME:make", width: 8}
epochs: 1
batch_size: 10
validation: 0
recalibrate: 1
eval_samples: 0
device: cpu
"""


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of its own for each test, in the working directory."""
    module = f"own_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv(VARIABLE, raising=False)
    yield module
    sys.modules.pop(module, None)


@pytest.mark.slow
def test_train_eval_export_verify_and_info(name: str, tmp_path: Path) -> None:
    config, trust = tmp_path / "c.yaml", ("--trust-code", name)
    config.write_text(CONFIG.replace("NAME", name))
    model = tmp_path / "m.onnx"
    commands: tuple[tuple[Any, ...], ...] = (
        ("train", config, "--out", "run"),
        ("export", "run", "-o", model, "--calibrate", f"{name}:load"),
        ("eval", "run", "--json"),
        ("eval", model, "--json"),
        ("verify", "run", model, "--data", f"{name}:load"),
        ("info", "run", "--json"),
    )
    for command in commands:
        (tmp_path / "imported").unlink(missing_ok=True)
        sys.modules.pop(name, None)
        message = fail(*command)
        assert f"which runs only if you trust it: pass --trust-code {name}" in message
        assert not (tmp_path / "imported").exists()
        result = run(*command, *trust)
        assert result.exit_code == 0, (command, result.output, result.exception)
        if "eval" in command:
            found = json.loads(result.stdout)
            assert (found["data"], found["images"]) == (f"{name}:load", 10)
        assert VARIABLE not in os.environ
    resumed = run("train", config, "epochs=2", "--out", "run", *trust)
    assert resumed.exit_code == 0, resumed.output


def test_an_opened_checkpoint_runs_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG.replace("NAME", name))
    assert run("train", "c.yaml", "--out", "run", "--trust-code", name).exit_code == 0
    (tmp_path / "imported").unlink()
    sys.modules.pop(name)
    assert read_metadata(tmp_path / "run")[0].model.options == {"width": 8}
    with pytest.raises(CheckpointError, match=rf"checkpoint.safetensors: {name}:make is code"):
        load_checkpoint(tmp_path / "run")
    with trust_code("another", f"{name}.below"), pytest.raises(CheckpointError, match="is code"):
        load_checkpoint(tmp_path / "run")
    assert not (tmp_path / "imported").exists()
    with trust_code(name):
        assert len(load_checkpoint(tmp_path / "run").model.state_dict()) > 5
    assert (tmp_path / "imported").exists()


def test_the_environment_names_modules_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"other, {name}")
    assert data.load(f"{name}:load").classes == ("a", "b", "c")
    with trust_code("third"):
        assert os.environ[VARIABLE] == f"other,{name},third"
    assert os.environ[VARIABLE] == f"other, {name}"


def test_arrays_are_those_of_an_npz_file(name: str, tmp_path: Path) -> None:
    with trust_code(name):
        found = data.load(f"{name}:arrays")
        assert (found.name, found.x_train.shape) == (f"{name}:arrays", (16, 1, 6, 6))
        assert (found.x_train == 7).all()
        assert (data.load(f"{name}:arrays", tmp_path).x_train == 9).all()
        x = np.zeros((20, 1, 6, 6), np.uint8)
        np.savez(tmp_path / "a.npz", x=x, y=np.arange(20) % 2)
        same = data.load(str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(found.y_train, same.y_train)


def test_a_model_gets_the_arguments_that_it_has(name: str) -> None:
    with trust_code(name):
        tiny = build_own(
            f"{name}:Tiny", input_shape=(3,), n_classes=2, zero_point=None, features=3
        )
    assert tiny.in_features == 3


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        ("missing", {}, "has no function missing"),
        ("np", {}, "has no function np"),
        ("system", {}, "system is defined in posix; expected a function of"),
        ("make", {"widht": 3}, r"make\(input_shape, .* does not accept these options: .*'widht'"),
        ("fails", {}, "fails failed: KeyError: 'inside'; BNNKIT_DEBUG=1 shows the traceback"),
        ("wrong", {}, "wrong to return a torch.nn.Module, got 3"),
    ],
)
def test_wrong_models(name: str, function: str, options: dict[str, Any], words: str) -> None:
    with trust_code(name), pytest.raises(ConfigError, match=words):
        build_own(
            f"{name}:{function}", input_shape=(1, 6, 6), n_classes=3, zero_point=(0,), **options
        )


def test_wrong_data(name: str, tmp_path: Path) -> None:
    with trust_code(name, "no_such_module"):
        with pytest.raises(ConfigError, match=r"wrong to return a Dataset or a dict .* got 3"):
            data.load(f"{name}:wrong")
        with pytest.raises(ConfigError, match=r"does not accept .* argument 'data_dir'"):
            data.load(f"{name}:load", tmp_path)
        with pytest.raises(ConfigError, match=r"import of no_such_module .*ModuleNotFoundError"):
            data.load("no_such_module:load")


def test_what_is_a_function_of_a_module() -> None:
    assert all(map(is_own, ("a:b", "a.b_1:_c")))
    assert not any(map(is_own, ("a", "a:", ":b", "a:b.c", "a b:c", "a.:b", "a:b\n", "C:/x.npz")))
    with pytest.raises(ConfigError, match="expected a function as module:function, got 'x'"):
        call_own("x", {}, {})
