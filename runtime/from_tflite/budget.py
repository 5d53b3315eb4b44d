"""The budget of a .tflite file (bnnkit/artifact/budget.py says what it limits).

The largest networks of larq-zoo use less than a third of it.
"""

from math import prod

from bnnkit.artifact.budget import Budget, is_trusted, no_limits, too_large
from bnnkit.tflite.network import Network

_CONSTANT_GROWTH = 16
"""Bytes of constants for each byte of the file."""
_CONSTANT_GRACE = 1 << 24
_INPUT_GRACE, _VALUE_GRACE = 1 << 21, 1 << 22
_VALUE_BYTE, _VALUE_INPUT = 8, 4
"""Numbers that a value may have in addition for each byte of the file, and for each number of the
input."""
_TOTAL_GRACE = 1 << 24
_TOTAL_BYTE, _TOTAL_INPUT = 64, 16
"""The same for all values together, including those between the nodes of one operator."""
MOST_NUMBERS = 1 << 29
"""Limit for all values together, however large the file is."""
_WORK_GRACE = 1 << 29
_WORK_BYTE, _WORK_INPUT = 1 << 13, 1 << 10
"""The same for products, and for the numbers in windows of a pooling."""


def tflite_budget(network: Network, file_bytes: int) -> Budget:
    """Return the budget of a .tflite file.

    Args:
        network: The network in the file.
        file_bytes: The size of the file.

    Raises:
        UnsupportedError: The inputs are too large for a file of this size.
    """
    given = sum(prod(network.tensors[place].shape[1:]) for place in network.inputs)
    if is_trusted():
        return no_limits()
    most = _VALUE_BYTE * file_bytes + _INPUT_GRACE
    if given > most:
        raise too_large(given, most)
    return Budget(
        constants=_CONSTANT_GROWTH * file_bytes + _CONSTANT_GRACE,
        largest=min(_VALUE_BYTE * file_bytes + _VALUE_INPUT * given + _VALUE_GRACE, MOST_NUMBERS),
        total=min(_TOTAL_BYTE * file_bytes + _TOTAL_INPUT * given + _TOTAL_GRACE, MOST_NUMBERS),
        work=_WORK_BYTE * file_bytes + _WORK_INPUT * given + _WORK_GRACE,
    )
