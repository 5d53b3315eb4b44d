"""How large what a file asks for may become, so that a small file takes little memory and time.

Everything is counted for one image, because the batch is free. The limits grow with the file and
its input: the largest networks of larq-zoo keep within a third of them.
"""

from math import prod

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.tflite.network import Network

_CONSTANT_GROWTH = 16
"""How many bytes of constants one byte of the file may become."""
_CONSTANT_GRACE = 1 << 24
_VALUE_GROWTH = 8
"""How many numbers a value may have for each number of the input and byte of the file."""
_VALUE_GRACE = 1 << 22
_TOTAL_GROWTH = 64
"""The same of all values together, those between the nodes of one operator among them."""
_TOTAL_GRACE = 1 << 25
MOST_NUMBERS = 1 << 29
"""Of all values, whatever the size of the file."""
_WORK_GROWTH = 1 << 13
"""How many products, or numbers in windows of a pooling, there may be for each such number."""
_WORK_GRACE = 1 << 29


class Budget:
    """What is left of what a file may take.

    Args:
        network: Its inputs count.
        file_bytes: The size of its file.
    """

    def __init__(self, network: Network, file_bytes: int) -> None:
        shapes = [network.tensors[place].shape for place in network.inputs]
        size = file_bytes + sum(prod(shape[1:]) for shape in shapes)
        self._constants = _CONSTANT_GROWTH * file_bytes + _CONSTANT_GRACE
        self._largest = min(_VALUE_GROWTH * size + _VALUE_GRACE, MOST_NUMBERS)
        self._total = min(_TOTAL_GROWTH * size + _TOTAL_GRACE, MOST_NUMBERS)
        self._work = _WORK_GROWTH * size + _WORK_GRACE

    def spend_constants(self, size: int) -> None:
        """Count the bytes of a constant.

        Raises:
            ArtifactError: They are more than a file of this size explains.
        """
        self._constants -= size
        if self._constants < 0:
            raise ArtifactError("the constants are read too often for a file of its size")

    def spend_values(self, numbers: int, count: int = 1) -> None:
        """Count values of so many numbers for an image.

        Raises:
            UnsupportedError: One is, or all are, larger than the input and the file explain.
        """
        self._total -= numbers * count
        if numbers > self._largest or self._total < 0:
            raise UnsupportedError(
                f"a value of {numbers} numbers for an image is more than bnnkit takes for an"
                " input and a file of this size"
            )

    def spend_work(self, products: int) -> None:
        """Count products, or numbers that a pooling looks at, for an image.

        Raises:
            UnsupportedError: They are more than the input and the file explain.
        """
        self._work -= products
        if self._work < 0:
            raise UnsupportedError(
                f"{products} products for an image are more than bnnkit takes for an input and"
                " a file of this size"
            )
