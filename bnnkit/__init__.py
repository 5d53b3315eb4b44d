"""Train binarized neural networks, export them bit-packed, run them at the speed of popcount."""

import sys

__version__ = "0.1.0"

if sys.maxsize < 2**32:
    from bnnkit.system import refuse_32_bits

    refuse_32_bits()
