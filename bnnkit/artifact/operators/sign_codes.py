"""The codes of signs: 2 for +1, 0 for -1."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PLUS_AND_MINUS: Final = """
  plus = Constant <value = uint8 {2}> ()
  minus = Constant <value = uint8 {0}> ()
"""
"""The two codes, for a body."""


def sign_codes(is_plus: NDArray[Any]) -> NDArray[np.uint8]:
    """Return 2 where true and 0 elsewhere, of the same shape."""
    return np.where(is_plus, 2, 0).astype(np.uint8)
