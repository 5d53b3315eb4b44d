"""The public names of bnnkit.export."""

from importlib import import_module
from inspect import isfunction

import pytest

pytest.importorskip("onnx_ir", reason="needs the packages of bnnkit[export]")

import bnnkit.export


@pytest.mark.parametrize("name", bnnkit.export.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(bnnkit.export, name).__name__ == name


def test_no_folder_hides_a_public_call() -> None:
    """Python sets an attribute of the package for every folder that is imported."""
    for folder in ("from_onnx", "from_torch.export_onnx", "passes.lower", "tflite"):
        import_module(f"bnnkit.export.{folder}")
    for name in ("convert_onnx", "export_onnx", "export_tflite", "noisy_thresholds", "to_tflite"):
        assert isfunction(getattr(bnnkit.export, name))


def test_the_old_name_of_noisy_thresholds_warns() -> None:
    with pytest.warns(DeprecationWarning, match="use bnnkit.export.noisy_thresholds"):
        assert bnnkit.export.sign_laws is bnnkit.export.noisy_thresholds
