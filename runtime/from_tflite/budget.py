"""Limits of memory and time, so that a small hostile file cannot take much of either.

Everything is counted for one image, because the batch is free. The limits grow with the size of
the file and of its input. The largest networks of larq-zoo use less than a third of them.
"""

from math import prod

from bnnkit.errors import ArtifactError, UnsupportedError
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


class Budget:
    """What a file may still take.

    Args:
        network: The network in the file.
        file_bytes: The size of the file.

    Raises:
        UnsupportedError: The inputs are too large for a file of this size.
    """

    def __init__(self, network: Network, file_bytes: int) -> None:
        self._constants = _CONSTANT_GROWTH * file_bytes + _CONSTANT_GRACE
        given = sum(prod(network.tensors[place].shape[1:]) for place in network.inputs)
        if given > _VALUE_BYTE * file_bytes + _INPUT_GRACE:
            raise _too_large(given)
        largest = _VALUE_BYTE * file_bytes + _VALUE_INPUT * given + _VALUE_GRACE
        self._largest = min(largest, MOST_NUMBERS)
        total = _TOTAL_BYTE * file_bytes + _TOTAL_INPUT * given + _TOTAL_GRACE
        self._total = min(total, MOST_NUMBERS)
        self._work = _WORK_BYTE * file_bytes + _WORK_INPUT * given + _WORK_GRACE

    def spend_constants(self, size: int) -> None:
        """Count the bytes of a constant.

        Raises:
            ArtifactError: The constants are too large for a file of this size.
        """
        self._constants -= size
        if self._constants < 0:
            raise ArtifactError("the constants are read too often for a file of its size")

    def spend_values(self, numbers: int, count: int = 1) -> None:
        """Count `count` values of so many numbers for an image.

        Raises:
            UnsupportedError: One value, or all of them, are too large for this file and input.
        """
        self._total -= numbers * count
        if numbers > self._largest or self._total < 0:
            raise _too_large(numbers)

    def spend_work(self, products: int) -> None:
        """Count products, or numbers in windows of a pooling, for an image.

        Raises:
            UnsupportedError: There are too many for this file and input.
        """
        self._work -= products
        if self._work < 0:
            raise UnsupportedError(
                f"{products} products for an image are more than bnnkit takes for an input and"
                " a file of this size"
            )


def _too_large(numbers: int) -> UnsupportedError:
    return UnsupportedError(
        f"a value of {numbers} numbers for an image is more than bnnkit takes for an input and a"
        " file of this size"
    )
