"""The artifact to a .tflite file that Larq Compute Engine runs, without TensorFlow."""

from bnnkit.export.tflite.report import Choice, TfliteReport
from bnnkit.export.tflite.to_tflite import Tflite, export_tflite, to_tflite

__all__ = ["Choice", "Tflite", "TfliteReport", "export_tflite", "to_tflite"]
