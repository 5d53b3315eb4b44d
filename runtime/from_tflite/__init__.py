"""Translates files of TFLite and Larq Compute Engine to artifacts in memory."""

from bnnkit.runtime.from_tflite.from_tflite import from_tflite, is_tflite

__all__ = ["from_tflite", "is_tflite"]
