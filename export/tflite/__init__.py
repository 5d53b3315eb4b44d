"""Exports artifacts to .tflite files, without TensorFlow."""

from bnnkit.export.tflite.report import Choice, TfliteReport, UniformInput, Variant
from bnnkit.export.tflite.to_tflite import Tflite, export_tflite, to_tflite
from bnnkit.export.tflite.uniforms import GivenUniforms, RandomUniforms, Uniforms

__all__ = [
    "Choice",
    "GivenUniforms",
    "RandomUniforms",
    "Tflite",
    "TfliteReport",
    "UniformInput",
    "Uniforms",
    "Variant",
    "export_tflite",
    "to_tflite",
]
