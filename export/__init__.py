"""Export: from a torch model, or from another tool's ONNX file, to an artifact and to TFLite.

The names below need torch and onnx-ir, which are imported on first use; `bnnkit.artifact.report`
needs neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any
from warnings import warn

if __name__ != "bnnkit.export":
    raise ImportError("import this package as bnnkit.export, not as export")

if TYPE_CHECKING:
    from bnnkit.export.assembly.metadata import Metadata
    from bnnkit.export.from_onnx.convert import convert_onnx
    from bnnkit.export.from_torch.export_onnx import export_onnx
    from bnnkit.export.from_torch.noisy_thresholds import noisy_thresholds
    from bnnkit.export.tflite.to_tflite import export_tflite, to_tflite

__all__ = [
    "Metadata",
    "convert_onnx",
    "export_onnx",
    "export_tflite",
    "noisy_thresholds",
    "to_tflite",
]

_MODULES = {
    "Metadata": "assembly.metadata",
    "convert_onnx": "from_onnx.convert",
    "export_onnx": "from_torch.export_onnx",
    "export_tflite": "tflite.to_tflite",
    "noisy_thresholds": "from_torch.noisy_thresholds",
    "to_tflite": "tflite.to_tflite",
}
_DEPRECATED = {"sign_laws": "noisy_thresholds"}
_EXTRA = ("torch", "onnx_ir", "onnxscript")


def __getattr__(name: str) -> Any:
    if name in _DEPRECATED:
        message = f"bnnkit.export.{name} is deprecated; use bnnkit.export.{_DEPRECATED[name]}"
        warn(message, DeprecationWarning, stacklevel=2)
        name = _DEPRECATED[name]
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"bnnkit.export.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        from bnnkit.errors import MissingExtraError

        if error.name not in _EXTRA:
            raise  # a bug of ours must not read as a missing package
        raise MissingExtraError("export to ONNX", "export") from error
