"""Converts binarized networks from other tools' ONNX files; needs torch and onnx-ir."""

from bnnkit.export.from_onnx.convert import Conversion, convert_onnx

__all__ = ["Conversion", "convert_onnx"]
