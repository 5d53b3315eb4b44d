"""PyTorch to ONNX: the bit-packed artifact of docs/artifact.md, and the report on what is in it.

`export_onnx` and `Metadata` need torch and onnx-ir, which are imported at first use;
`bnnkit.export.report` needs neither.
"""

from typing import TYPE_CHECKING, Any

if __name__ != "bnnkit.export":
    raise ImportError("import this package as bnnkit.export, not as export")

if TYPE_CHECKING:
    from bnnkit.export.metadata import Metadata
    from bnnkit.export.to_onnx import export_onnx

__all__ = ["Metadata", "export_onnx"]


def __getattr__(name: str) -> Any:
    if name == "Metadata":
        from bnnkit.export.metadata import Metadata

        return Metadata
    if name == "export_onnx":
        return _export_onnx()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _export_onnx() -> Any:
    try:
        from bnnkit.export.to_onnx import export_onnx
    except ModuleNotFoundError as error:
        from bnnkit.errors import MissingExtraError

        if error.name not in ("torch", "onnx_ir", "onnxscript"):
            raise  # a bug of ours must not read as a missing package
        raise MissingExtraError("export to ONNX", "export") from error
    return export_onnx
