"""What a file is by its first bytes, and what it should be by its suffix, for messages."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from bnnkit.errors import FileError, UsageError
from bnnkit.files.regular_file import open_file

START_BYTES: Final = 4096
"""The number of bytes at the start of a file that `kind_of` looks at."""

SUFFIXES: Final = {
    ".onnx": "onnx",
    ".tflite": "tflite",
    ".c": "c",
    ".npy": "npy",
    ".npz": "npz",
    ".safetensors": "safetensors",
    ".pt": "torch",
    ".pth": "torch",
    ".json": "json",
}
"""The suffixes that name a format of a file."""
ONNX: Final = "an ONNX file"
IMAGE: Final = "an image file"
_RUN_FILES = ("config.yaml", "checkpoint.safetensors")
_TEXT_BYTES = 256
_ONNX_FIELDS = b"\x12\x1a\x22\x2a\x32\x3a\x42"
"""The keys of the fields that follow the IR version in an ONNX file."""


def check_suffix(
    path: Path | str, format_name: str, change: str = "choose another suffix"
) -> None:
    """Check that the suffix of a file to write does not name another format.

    Args:
        path: The file; a suffix that names no format fits any.
        format_name: The format that is written, a value of `SUFFIXES`.
        change: What to do, for the error message.

    Raises:
        UsageError: The suffix names another format.
    """
    named = SUFFIXES.get(Path(path).suffix.lower(), format_name)
    if named != format_name:
        raise UsageError(
            f"expected an output file of the format {format_name}, got {path}, whose suffix names "
            f"{named}; {change}"
        )


def kind_of(start: bytes) -> str:
    """Return what a file is, and which command or function takes it.

    Args:
        start: The first `START_BYTES` of the file, or all of it.

    Returns:
        A noun phrase such as "a .npy array, which `bnnkit run` takes as the input of a model";
        "" if the kind is unknown.
    """
    if not start:
        return "an empty file"
    return next((kind for matches, kind in _KINDS if matches(start)), "")


def kind_of_path(path: Path | str) -> str:
    """Return what a file or folder is, as `kind_of`; "" if it cannot be read."""
    path = Path(path)
    try:
        if path.is_dir():
            return _kind_of_folder(path)
        with open_file(path) as file:
            return kind_of(file.read(START_BYTES))
    except (OSError, FileError):
        return ""


def but_it_is(kind: str) -> str:
    """Return the end of a sentence that says what a file is instead; "" if that is unknown."""
    return f"; it is {kind}" if kind else ""


def _kind_of_folder(path: Path) -> str:
    if any((path / name).is_file() for name in _RUN_FILES):
        return "the folder of a run, from which `bnnkit export` writes a model file"
    if (path / "saved_model.pb").is_file():
        return "a SavedModel of TensorFlow, which its converters turn into .tflite or ONNX"
    return ""


def _is_safetensors(start: bytes) -> bool:
    return len(start) > 8 and 2 <= int.from_bytes(start[:8], "little") < 2**40 and start[8] == 0x7B


def _is_own_checkpoint(start: bytes) -> bool:
    return _is_safetensors(start) and b'{"bnnkit":' in start


def _is_zip_with(name: bytes) -> Callable[[bytes], bool]:
    return lambda start: start.startswith(b"PK\x03\x04") and name in start


def _is_pickle(start: bytes) -> bool:
    return len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5


def _is_onnx(start: bytes) -> bool:
    return len(start) > 2 and start[0] == 0x08 and 3 <= start[1] < 32 and start[2] in _ONNX_FIELDS


def _begins(*prefixes: bytes) -> Callable[[bytes], bool]:
    return lambda start: start.startswith(prefixes)


def _has_name(identifier: bytes) -> Callable[[bytes], bool]:
    """Test for the identifier of a FlatBuffers file, its bytes 4 to 7."""
    return lambda start: start[4:8] == identifier


def _is_html(start: bytes) -> bool:
    return start.lstrip()[:20].lower().startswith((b"<!doctype html", b"<html"))


def _is_text(start: bytes) -> bool:
    text = start[:_TEXT_BYTES]
    return all(byte >= 0x20 or byte in b"\t\n\r" for byte in text) and text.isascii()


_KINDS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (
        _is_own_checkpoint,
        "a checkpoint of bnnkit, from which `bnnkit export` writes a model file",
    ),
    (_is_safetensors, "a safetensors file, which holds tensors without a network"),
    (
        _has_name(b"TFL3"),
        "a .tflite model file, which `bnnkit run`, info, verify and bench take",
    ),
    (
        _has_name(b"ORTM"),
        "a file in ONNX Runtime's own format; give the .onnx file that it was made from",
    ),
    (
        _begins(b"\x93NUMPY"),
        "a .npy array, which `bnnkit run` takes as the input of a model",
    ),
    (
        _is_zip_with(b"data.pkl"),
        "a file of torch.save or torch.jit.save; in Python, bnnkit.export.export_onnx writes a "
        "model file of the network",
    ),
    (_is_zip_with(b".npy"), "an .npz archive of arrays, which --data takes as a data set"),
    (_begins(b"PK\x03\x04"), "a zip archive"),
    (
        _is_pickle,
        "a Python pickle, such as old torch files are; in Python, bnnkit.export.export_onnx "
        "writes a model file of a network",
    ),
    (
        _begins(b"\x89HDF\r\n"),
        "an HDF5 file, such as Keras writes; its tools convert it to .tflite or ONNX",
    ),
    (_begins(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM"), IMAGE),
    (_begins(b"\x1f\x8b"), "a gzip archive; unpack it"),
    (_begins(b"version https://git-lfs"), "a pointer of Git LFS; fetch the file: git lfs pull"),
    (_is_html, "an HTML page, perhaps of a failed download"),
    (_is_onnx, ONNX),
    (_is_text, "a text file"),
)
"""The kinds that are recognised; the first that matches counts."""
