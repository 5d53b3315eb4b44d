"""Train binarized neural networks, export them bit-packed, run them at the speed of popcount."""

__version__ = "0.1.0"
