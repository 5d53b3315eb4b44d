"""Conversion of the signs in a rewrite to the codes that `Engine.trace` returns."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def as_signs(values: Array) -> Array:
    """Convert signs in any form to the codes 0 and 2; in every form only +1 is above zero."""
    return np.where(values > 0, 2, 0).astype(np.uint8)
