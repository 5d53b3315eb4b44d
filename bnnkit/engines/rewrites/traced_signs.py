"""Signs in whatever form a twin holds them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def as_signs(values: Array) -> Array:
    """0 and 2: all forms have +1 as their one value above zero."""
    return np.where(values > 0, 2, 0).astype(np.uint8)
