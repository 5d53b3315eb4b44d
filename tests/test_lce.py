"""LCE's interpreter behind an artifact."""

import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from artifacts import Artifact, digits_like, noisy_digits_like
from tflite_runs import needs_lce, normal

from bnnkit import lce
from bnnkit.errors import MissingExtraError, UnsupportedError, UsageError
from bnnkit.export.tflite import to_tflite
from bnnkit.runtime.reference import Reference


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As in a process that has not loaded the interpreter yet."""
    monkeypatch.delitem(sys.modules, lce._MODULE, raising=False)
    return monkeypatch


def test_it_says_which_package_is_missing(unloaded: pytest.MonkeyPatch) -> None:
    unloaded.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"bnnkit\[lce\]"):
        lce.LarqComputeEngine(digits_like()[0])


@needs_lce
def test_it_says_what_to_do_about_a_newer_numpy(unloaded: pytest.MonkeyPatch) -> None:
    unloaded.setattr(np, "__version__", "2.1.0")
    with pytest.raises(UsageError, match="pip install 'numpy<2'"):
        lce.LarqComputeEngine(digits_like()[0])


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
    a = Artifact()
    signs = a.sign("x")
    model, images = a.model((5, 2, 3), signs), normal((2, 5, 2, 3))
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
        "import sys, bnnkit.lce as lce; lce._wrapper();"
        "assert not {'tensorflow', 'torch', 'larq_compute_engine'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
