"""Slots of the tables that a .tflite file consists of, as schema.fbs numbers their fields.

Only fields that bnnkit reads or writes are listed. The slots of options are in options.py.
"""

from enum import IntEnum


class ModelSlot(IntEnum):
    """The root of a file."""

    VERSION = 0
    OPERATOR_CODES = 1
    SUBGRAPHS = 2
    DESCRIPTION = 3
    BUFFERS = 4
    METADATA = 6


class OperatorCodeSlot(IntEnum):
    """A kind of operator that the file uses."""

    DEPRECATED_BUILTIN_CODE = 0
    CUSTOM_CODE = 1
    VERSION = 2
    BUILTIN_CODE = 3


class SubGraphSlot(IntEnum):
    """A network."""

    TENSORS = 0
    INPUTS = 1
    OUTPUTS = 2
    OPERATORS = 3
    NAME = 4


class TensorSlot(IntEnum):
    """A value or a constant."""

    SHAPE = 0
    TYPE = 1
    BUFFER = 2
    NAME = 3
    QUANTIZATION = 4
    IS_VARIABLE = 5
    SPARSITY = 6


class QuantizationSlot(IntEnum):
    """Scales and zero points of a tensor (QuantizationParameters)."""

    SCALE = 2
    ZERO_POINT = 3
    QUANTIZED_DIMENSION = 6


class OperatorSlot(IntEnum):
    """One step of a network."""

    OPCODE_INDEX = 0
    INPUTS = 1
    OUTPUTS = 2
    OPTIONS_TYPE = 3
    OPTIONS = 4
    CUSTOM_OPTIONS = 5


class BufferSlot(IntEnum):
    """The bytes of a constant or of an entry of metadata."""

    DATA = 0
    OFFSET = 1


class MetadataSlot(IntEnum):
    """A named entry of metadata."""

    NAME = 0
    BUFFER = 1
