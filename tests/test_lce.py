"""LCE's interpreter behind an artifact."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from artifacts import ArtifactBuilder, digits_like, noisy_digits_like
from tflite_runs import needs_lce, normal

from bnnkit.artifact.reference import Reference
from bnnkit.engines import lce, lce_child
from bnnkit.engines.lce_process import VARIABLE
from bnnkit.errors import MissingExtraError, UnsupportedError, UsageError
from bnnkit.export.tflite import to_tflite


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As in a process that has not loaded the interpreter yet."""
    monkeypatch.delitem(sys.modules, lce_child.MODULE, raising=False)
    return monkeypatch


def test_it_says_which_package_is_missing(unloaded: pytest.MonkeyPatch) -> None:
    unloaded.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"bnnkit\[lce\]"):
        lce.LarqComputeEngine(digits_like()[0])


@pytest.fixture
def newer_numpy(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As in a process whose NumPy the interpreter cannot work with."""
    monkeypatch.setattr(np, "__version__", "2.1.0")
    monkeypatch.delenv(VARIABLE, raising=False)
    return monkeypatch


def test_it_says_what_to_do_about_a_newer_numpy(newer_numpy: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=f"NumPy below 2 only, this is 2.1.0: set {VARIABLE}"):
        lce.LarqComputeEngine(digits_like()[0])


@needs_lce
def test_another_python_runs_it(newer_numpy: pytest.MonkeyPatch) -> None:
    model, images = digits_like()
    newer_numpy.setenv(VARIABLE, sys.executable)
    there = lce.LarqComputeEngine(model)
    found = [there.run(images[:batch])[0] for batch in (3, 1)]
    newer_numpy.undo()
    here = lce.LarqComputeEngine(model)
    assert there.version == here.version
    for scores, batch in zip(found, (3, 1), strict=True):
        np.testing.assert_array_equal(scores, here.run(images[:batch])[0])
    newer_numpy.setattr(np, "__version__", "2.1.0")
    newer_numpy.setenv(VARIABLE, sys.executable)
    content = to_tflite(model).content.replace(b"LceBMaxPool2d", b"LceNoSuchOne0")
    with pytest.raises(UnsupportedError, match="LCE cannot run"):
        lce.Interpreter(content)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 3", "gave no answer"),
        ("head -n 1 > /dev/null; exit 0", "gave no answer"),
        ("""echo '{}'; sleep 60""", "gave no answer"),
        ("""echo 'no JSON'; sleep 60""", "gave no answer"),
        ("""echo '5'; sleep 60""", "gave no answer"),
        ("""echo '[]'; sleep 60""", "gave no answer"),
        ("""echo '{"bytes": "a"}'; sleep 60""", "gave no answer"),
        ("""echo '{"bytes": 0, "content": 0, "arrays": 0}'; sleep 60""", "gave no answer"),
        ("""echo '{"bytes": 0, "content": 0, "arrays": 1}'; sleep 60""", "gave no answer"),
        ("""sleep 60""", "gave no answer"),
    ],
)
def test_another_python_that_cannot(
    newer_numpy: pytest.MonkeyPatch, tmp_path: Path, script: str, message: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    newer_numpy.setenv(VARIABLE, str(python))
    newer_numpy.setattr("bnnkit.engines.lce_process.START_TIMEOUT_S", 2.0)
    with pytest.raises(UsageError, match="cannot be started"):
        lce.Interpreter(b"")
    python.chmod(0o755)
    with pytest.raises(UnsupportedError, match=message):
        lce.Interpreter(b"")


@pytest.mark.parametrize("wrong", [{"kernel": "fastest"}, {"threads": 0}])
def test_wrong_arguments(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected"):
        lce.Interpreter(b"", **wrong)


@needs_lce
def test_a_stochastic_artifact_runs_without_noise() -> None:
    model, images = noisy_digits_like()
    engine, want = lce.LarqComputeEngine(model), Reference(model).trace(images[:3])
    traced = engine.trace(images[:3])
    assert set(want) & set(traced)
    for name in set(want) & set(traced):
        np.testing.assert_array_equal(traced[name], want[name])
    scores = Reference(model).run(images[:3])[0]
    np.testing.assert_allclose(engine.run(images[:3])[0], scores, rtol=0, atol=1e-3)


@needs_lce
def test_batches_take_turns() -> None:
    model, images = digits_like()
    engine = lce.LarqComputeEngine(model, threads=2)
    expected = Reference(model).run(images)[0]
    for batch in (7, 1, 3, 3):
        np.testing.assert_allclose(engine.run(images[:batch])[0], expected[:batch], atol=1e-3)


@needs_lce
def test_trace_leaves_outputs_alone() -> None:
    """A value that is an output and a sign as well is given in both places."""
    a = ArtifactBuilder()
    signs = a.sign("x")
    model, images = a.artifact((5, 2, 3), signs), normal((2, 5, 2, 3))
    engine = lce.LarqComputeEngine(model)
    np.testing.assert_array_equal(engine.run(images)[0], engine.trace(images)[signs])


@needs_lce
def test_a_file_with_an_unknown_operator_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    content = to_tflite(digits_like()[0]).content.replace(b"LceBMaxPool2d", b"LceNoSuchOne0")
    with pytest.raises(UnsupportedError, match="LCE cannot open"):
        lce.Interpreter(content)


@needs_lce
def test_tensorflow_and_torch_are_not_needed() -> None:
    code = (
        "import sys, bnnkit.engines.lce_child as lce; lce.load_wrapper(lce.extension());"
        "assert not {'tensorflow', 'torch', 'larq_compute_engine'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
