"""PyTorch to ONNX: the bit-packed artifact of docs/artifact.md, and the report on what is in it.

What is named here needs torch and onnx-ir, which are imported when it is first asked for;
`bnnkit.artifact.report` needs neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ != "bnnkit.export":
    raise ImportError("import this package as bnnkit.export, not as export")

if TYPE_CHECKING:
    from bnnkit.export.laws import sign_laws
    from bnnkit.export.metadata import Metadata
    from bnnkit.export.to_onnx import export_onnx

__all__ = ["Metadata", "export_onnx", "sign_laws"]

_HOMES = {
    "Metadata": "bnnkit.export.metadata",
    "export_onnx": "bnnkit.export.to_onnx",
    "sign_laws": "bnnkit.export.laws",
}
_EXTRA = ("torch", "onnx_ir", "onnxscript")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        from bnnkit.errors import MissingExtraError

        if error.name not in _EXTRA:
            raise  # a bug of ours must not read as a missing package
        raise MissingExtraError("export to ONNX", "export") from error
