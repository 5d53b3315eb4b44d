"""Limits of memory and time, so that a small hostile file cannot take much of either.

Everything is counted for one image, because the batch is free. The limits grow with the size of
the file and of its input. The environment variable BNNKIT_NO_LIMITS=1 lifts them, for files that
you trust.
"""

import os
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
"""The same for all values together, in float32 numbers of 4 bytes."""
_CONSTANT_SHARE, _MOST_SHARES = 512, 1 << 31
"""Deep networks keep a few values for each layer. For each number of the input, each constant of
the file therefore adds to the total as many numbers as it has bytes, but at most the first; all
constants together add at most the last."""
_WORK_GRACE, _WORK_BYTE, _WORK_INPUT = 1 << 29, 1 << 13, 1 << 10
"""Products, and numbers in windows of a pooling: of any file, for each byte of the file, and for
each number of the input. In addition, each byte of
the file may be used once for each number of the input, as weights of a convolution are."""


class Budget:
    """What a file may still take.

    Args:
        constants: Bytes of computed constants.
        largest: Numbers of one value.
        total: All values together, in numbers of 4 bytes.
        work: Products.
    """

    def __init__(self, *, constants: int, largest: int, total: int, work: int) -> None:
        self._constants = constants
        self._largest = min(largest, total)
        self._total, self._most_total = total, total
        self._work, self._most_work = work, work

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
                " file of its size; set BNNKIT_NO_LIMITS=1 if you trust the file"
            )

    def spend_values(self, numbers: int, count: int = 1, *, bits: int = 32) -> None:
        """Count `count` values of so many numbers for an image, of so many bits each.

        Raises:
            UnsupportedError: One value, or all of them, are too large for this file and input.
        """
        if numbers > self._largest:
            raise too_large(numbers, self._largest)
        self._total -= numbers * count * bits // 32
        if self._total < 0:
            raise _too_large(
                "all values up to this one, in numbers of 4 bytes for an image, are",
                self._most_total,
            )

    def spend_work(self, products: int) -> None:
        """Count products, or numbers in windows of a pooling, for an image.

        Raises:
            UnsupportedError: There are too many for this file and input.
        """
        self._work -= products
        if self._work < 0:
            raise _too_large("all products up to this node, for an image, are", self._most_work)


def onnx_budget(model: onnx.ModelProto, inputs: int) -> Budget:
    """Return the budget of an ONNX file.

    Args:
        model: Its constants must have been read, as for `content_bytes`.
        inputs: The number of numbers of one image.

    Raises:
        UnsupportedError: The input is too large for a file of this size.
    """
    if is_trusted():
        return no_limits()
    file_bytes = content_bytes(model)
    most_inputs = _INPUT_BYTE * file_bytes + _INPUT_GRACE
    if inputs > most_inputs:
        raise too_large(inputs, most_inputs)
    shares = sum(min(_tensor_bytes(tensor), _CONSTANT_SHARE) for tensor in _constants(model))
    return Budget(
        constants=_CONSTANT_GROWTH * file_bytes + _CONSTANT_GRACE,
        largest=_VALUE_BYTE * file_bytes
        + min(_VALUE_INPUT * inputs, _MOST_VALUE_INPUT)
        + _VALUE_GRACE,
        total=_TOTAL_BYTE * file_bytes
        + min(_TOTAL_INPUT * inputs, _MOST_TOTAL_INPUT)
        + min(shares * inputs, _MOST_SHARES)
        + _TOTAL_GRACE,
        work=(_WORK_BYTE + inputs) * file_bytes + _WORK_INPUT * inputs + _WORK_GRACE,
    )


def is_trusted() -> bool:
    """Return whether the user has lifted the limits."""
    return os.environ.get("BNNKIT_NO_LIMITS") == "1"


def content_bytes(model: onnx.ModelProto) -> int:
    """Return about the size of a file, without copying it as `ByteSize` does.

    Args:
        model: Its constants must have been read, so that their shapes are those of their content.
    """
    tensors = sum(map(_tensor_bytes, _constants(model)))
    return tensors + _NODE_BYTES * len(model.graph.node)


def _constants(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    nodes = [node for node in model.graph.node if node.op_type == "Constant"]
    return [*model.graph.initializer, *(a.t for node in nodes for a in node.attribute)]


def _tensor_bytes(tensor: onnx.TensorProto) -> int:
    if tensor.data_type not in onnx.TensorProto.DataType.values() or not tensor.data_type:
        return 0
    element = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return int(prod(tensor.dims)) * int(element.itemsize)


def no_limits() -> Budget:
    """Return the budget of a network that was checked already, or that the user trusts."""
    most = 1 << 62
    return Budget(constants=most, largest=most, total=most, work=most)


def too_large(numbers: int, most: int) -> UnsupportedError:
    """Return the error for a value of too many numbers."""
    return _too_large(f"a value of {numbers} numbers for an image is", most)


def _too_large(what: str, most: int) -> UnsupportedError:
    return UnsupportedError(
        f"{what} more than {most}, the most that bnnkit takes for an input and a file of this"
        " size; set BNNKIT_NO_LIMITS=1 if you trust the file"
    )
