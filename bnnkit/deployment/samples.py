"""The number of samples of the ensembles that deployment measures."""

from typing import Final

SAMPLES: Final = 10
"""A calibration reports the accuracy of this many samples, a temperature is fitted to them, and a
noise scale is chosen by them unless another number is given."""
