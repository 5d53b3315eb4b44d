"""What `bnnkit run` reads: an array or several, images, folders of images, or standard input."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.input_batch import InputBatch
from bnnkit.cli.array_files import Array, read_array, read_array_from
from bnnkit.data.npz import read_named
from bnnkit.errors import FileError, UsageError
from bnnkit.files.kinds import IMAGE, START_BYTES, but_it_is, kind_of, kind_of_path
from bnnkit.images.opened import SUFFIXES
from bnnkit.images.preprocessing import Preprocessing
from bnnkit.runtime.image_inputs import ArrayInputs, ImageInputs, NetworkInput, inputs_of

STANDARD_INPUT: Final = Path("-")
_MOST_BYTES: Final = 1 << 30
"""The largest input that is read from standard input."""


class _Content(io.BytesIO):
    """The content of standard input."""

    name = "standard input"


def run_inputs(
    paths: Sequence[Path], artifact: Artifact, preprocessing: Preprocessing | None
) -> ImageInputs | ArrayInputs:
    """Read or open the inputs of a run.

    Args:
        paths: A .npy file; for a network with several inputs a .npz file with an array for each,
            by its name; or images and folders of images; "-" is standard input, without .npz
            files.
        artifact: The network.
        preprocessing: As in `NetworkInput.reader`.

    Raises:
        FileError: If a file cannot be read, or a folder holds no images.
        UsageError: If the network takes no images, or a .npy file is one of several inputs.
    """
    if paths.count(STANDARD_INPUT) > 1:
        raise UsageError("expected - for standard input once")
    content = _standard_input() if STANDARD_INPUT in paths else b""
    kinds = [_kind(path, content) for path in paths]
    if IMAGE in kinds:
        network = NetworkInput.of(
            artifact.graph,
            artifact.metadata,
            channels_last=artifact.tflite_source is not None,
        )
        images = [_Content(content) if path == STANDARD_INPUT else path for path in paths]
        return inputs_of(images, network, preprocessing)
    if len(paths) > 1:
        raise UsageError(
            f"expected one .npy or .npz file, or images and folders of images, got"
            f" {len(paths)} files "
            f"without an image among them, such as {paths[0]}"
        )
    names = artifact.graph.input_names
    if len(names) > 1:
        if kinds[0].startswith("an .npz") and paths[0] != STANDARD_INPUT:
            return ArrayInputs(InputBatch(read_named(paths[0], names)))
        raise UsageError(
            f"expected an .npz file with the inputs {', '.join(names)}, got {paths[0]}: write it"
            " with np.savez"
        )
    return ArrayInputs(_array(paths[0], content))


def _kind(path: Path, content: bytes) -> str:
    if path == STANDARD_INPUT:
        return kind_of(content[:START_BYTES])
    kind = kind_of_path(path)
    is_named_so = path.suffix.lower() in SUFFIXES and not kind.startswith("a .npy")
    is_folder = path.is_dir() and path.suffix != ".npy"
    return IMAGE if is_folder or is_named_so else kind


def _array(path: Path, content: bytes) -> Array:
    if path != STANDARD_INPUT:
        return read_array(path)
    kind = kind_of(content[:START_BYTES])
    if not kind.startswith(("a .npy", "an .npz")):
        raise FileError(
            f"expected a .npy array, or a PNG or JPEG image, in standard input{but_it_is(kind)}"
        )
    return read_array_from(io.BytesIO(content), len(content), "standard input")


def _standard_input() -> bytes:
    content = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise FileError(f"standard input has more than {_MOST_BYTES:,} bytes, which is the limit")
    return content
