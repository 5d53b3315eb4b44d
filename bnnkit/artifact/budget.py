"""Limits of memory and time, so that a small hostile file cannot take much of either.

Everything is counted for one image, because the batch is free. The limits grow with the size of
the file and of its input.
"""

from math import prod

import onnx
from onnx import helper

from bnnkit.errors import ArtifactError, UnsupportedError

_NODE_BYTES = 64
"""Bytes of a node in a file, at least."""
_CONSTANT_GRACE, _CONSTANT_GROWTH = 1 << 24, 64
"""Bytes of computed constants: of any file, and for each byte of the file."""
_INPUT_GRACE, _INPUT_BYTE = 1 << 23, 8
"""Numbers of the input: of any file, and for each byte of the file."""
_VALUE_GRACE, _VALUE_BYTE, _VALUE_INPUT, _MOST_VALUE_INPUT = 1 << 22, 8, 64, 1 << 26
"""Numbers of one value: of any file, for each byte of the file, and for each number of the input,
but for the input at most the last."""
_TOTAL_GRACE, _TOTAL_BYTE, _TOTAL_INPUT, _MOST_TOTAL_INPUT = 1 << 24, 64, 512, 1 << 28
"""The same for all values together."""
_WORK_GRACE, _WORK_BYTE, _WORK_INPUT = 1 << 29, 1 << 13, 1 << 10
"""The same for products, and for the numbers in windows of a pooling. In addition, each byte of
the file may be used once for each number of the input, as weights of a convolution are."""


class Budget:
    """What a file may still take.

    Args:
        constants: Bytes of computed constants.
        largest: Numbers of one value.
        total: Numbers of all values together.
        work: Products.
    """

    def __init__(self, *, constants: int, largest: int, total: int, work: int) -> None:
        self._constants = constants
        self._largest = min(largest, total)
        self._total = total
        self._work = work

    def copy(self) -> "Budget":
        """Return a budget of the same amounts, which is spent on its own."""
        return Budget(
            constants=self._constants, largest=self._largest, total=self._total, work=self._work
        )

    def spend_constants(self, size: int) -> None:
        """Count the bytes of a constant.

        Raises:
            ArtifactError: The constants are too large for a file of this size.
        """
        self._constants -= size
        if self._constants < 0:
            raise ArtifactError(
                "the constants are read too often, or grow too large when they are computed, for a"
                " file of its size"
            )

    def spend_values(self, numbers: int, count: int = 1) -> None:
        """Count `count` values of so many numbers for an image.

        Raises:
            UnsupportedError: One value, or all of them, are too large for this file and input.
        """
        self._total -= numbers * count
        if numbers > self._largest or self._total < 0:
            raise too_large(numbers)

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


def onnx_budget(file_bytes: int, inputs: int) -> Budget:
    """Return the budget of an ONNX file.

    Args:
        file_bytes: The size of the file.
        inputs: The number of numbers of one image.

    Raises:
        UnsupportedError: The input is too large for a file of this size.
    """
    if inputs > _INPUT_BYTE * file_bytes + _INPUT_GRACE:
        raise too_large(inputs)
    return Budget(
        constants=_CONSTANT_GROWTH * file_bytes + _CONSTANT_GRACE,
        largest=_VALUE_BYTE * file_bytes
        + min(_VALUE_INPUT * inputs, _MOST_VALUE_INPUT)
        + _VALUE_GRACE,
        total=_TOTAL_BYTE * file_bytes
        + min(_TOTAL_INPUT * inputs, _MOST_TOTAL_INPUT)
        + _TOTAL_GRACE,
        work=(_WORK_BYTE + inputs) * file_bytes + _WORK_INPUT * inputs + _WORK_GRACE,
    )


def content_bytes(model: onnx.ModelProto) -> int:
    """Return about the size of a file, without copying it as `ByteSize` does.

    Args:
        model: Its constants must have been read, so that their shapes are those of their content.
    """
    graph = model.graph
    constants = [a.t for node in graph.node if node.op_type == "Constant" for a in node.attribute]
    tensors = (*graph.initializer, *constants)
    return sum(_tensor_bytes(tensor) for tensor in tensors) + _NODE_BYTES * len(graph.node)


def _tensor_bytes(tensor: onnx.TensorProto) -> int:
    if tensor.data_type not in onnx.TensorProto.DataType.values() or not tensor.data_type:
        return 0
    element = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return int(prod(tensor.dims)) * int(element.itemsize)


def no_limits() -> Budget:
    """Return the budget of a network that was charged before it became an artifact."""
    most = 1 << 62
    return Budget(constants=most, largest=most, total=most, work=most)


def too_large(numbers: int) -> UnsupportedError:
    """Return the error for a value of too many numbers."""
    return UnsupportedError(
        f"a value of {numbers} numbers for an image is more than bnnkit takes for an input and a"
        " file of this size"
    )
