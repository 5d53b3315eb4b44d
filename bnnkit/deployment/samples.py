"""The number of samples of the ensembles that deployment measures."""

from typing import Final

SAMPLES: Final = 10
"""Of the ensemble whose accuracy a calibration reports, of that for which a temperature is fitted,
and, by default, of that for which a noise scale is chosen."""
