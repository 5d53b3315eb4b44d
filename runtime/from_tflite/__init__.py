"""Files of TFLite and Larq Compute Engine as artifacts in memory."""

from bnnkit.runtime.from_tflite.to_model import is_tflite, to_model

__all__ = ["is_tflite", "to_model"]
