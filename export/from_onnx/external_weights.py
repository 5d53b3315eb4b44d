"""Reads weights that a source file stores in other files, as torch's exporter writes them.

1. The file must lie beside the source, or in a folder below: a location that is absolute, contains
   `..`, or leads out of the folder by a link is refused.
2. Location, offset and length must fit the tensor.
"""

import stat
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

import onnx

from bnnkit.artifact.format.tensors import is_external, tensors_of
from bnnkit.errors import FileError

MOST_BYTES: Final = 2**31 - 1
"""The largest size of an ONNX model in memory, with its weights."""


def load_external_weights(model: onnx.ModelProto, path: Path) -> None:
    """Store in the model all numbers that it keeps in other files.

    Args:
        model: Is changed.
        path: The file that it was read from.

    Raises:
        FileError: A file is missing, outside of the folder or too short, or the model is larger
            than 2 GiB.
    """
    external = [tensor for tensor in tensors_of(model) if is_external(tensor)]
    total = model.ByteSize() + sum(_size(tensor, path) for tensor in external)
    if external and total > MOST_BYTES:
        raise FileError(
            f"{path} has {total / 2**30:.1f} GiB with its weights: expected less than 2 GiB"
        )
    for tensor in external:
        _load(tensor, path)


def _size(tensor: onnx.TensorProto, path: Path) -> int:
    """The size of a tensor's numbers in bytes."""
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except KeyError as error:
        raise _damaged(tensor, path, "its type is unknown") from error
    if dtype.hasobject or min(tensor.dims, default=1) < 0:
        raise _damaged(tensor, path, "its type or shape cannot be stored in another file")
    per_byte = 2 if tensor.data_type in _HALF_BYTES else 1
    return -int(-prod(tensor.dims) * dtype.itemsize // per_byte)


_HALF_BYTES: Final = frozenset(
    getattr(onnx.TensorProto, name)
    for name in ("INT4", "UINT4", "FLOAT4E2M1")
    if hasattr(onnx.TensorProto, name)
)
"""The types that ONNX packs, two elements a byte."""


def _load(tensor: onnx.TensorProto, path: Path) -> None:
    """Rule 2."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    file = _file(entries.get("location", ""), tensor, path)
    size = _size(tensor, path)
    offset = _number(entries, "offset", 0, tensor, path)
    if _number(entries, "length", size, tensor, path) != size:
        raise _damaged(tensor, path, f"expected a length of {size} bytes, got {entries['length']}")
    try:
        with file.open("rb") as opened:
            opened.seek(offset)
            content = opened.read(size)
    except OSError as error:
        raise FileError(f"cannot read the weights of {path}: {error.strerror or error}") from error
    if len(content) < size:
        raise _damaged(tensor, path, f"{file.name} ends before byte {offset + size}")
    tensor.raw_data = content
    tensor.ClearField("external_data")
    tensor.data_location = onnx.TensorProto.DEFAULT


def _number(
    entries: dict[str, str], key: str, default: int, tensor: onnx.TensorProto, path: Path
) -> int:
    text = entries.get(key, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise _damaged(tensor, path, f"expected a number as its {key}, got {text[:20]!r}")
    return int(text)


def _file(location: str, tensor: onnx.TensorProto, path: Path) -> Path:
    """Rule 1."""
    parts = PurePosixPath(location).parts
    is_plain = (
        parts
        and ".." not in parts
        and not PurePosixPath(location).is_absolute()
        and not PureWindowsPath(location).anchor
        and "\\" not in location
        and "\0" not in location
    )
    if not is_plain:
        raise _damaged(
            tensor, path, f"expected a file beside it, got the location {location[:80]!r}"
        )
    file = path.parent / location
    if not file.resolve().is_relative_to(path.parent.resolve()):
        raise _damaged(tensor, path, f"{location!r} is a link out of its folder: copy the file")
    try:
        is_file = stat.S_ISREG(file.stat().st_mode)
    except OSError as error:
        reason = f"{file}: {error.strerror or error}"
        raise FileError(f"cannot read the weights of {path}, {reason}") from error
    if not is_file:
        raise _damaged(tensor, path, f"{location!r} is no file")
    return file


def _damaged(tensor: onnx.TensorProto, path: Path, reason: str) -> FileError:
    return FileError(f"cannot read the weight {tensor.name!r} of {path}: {reason}")
