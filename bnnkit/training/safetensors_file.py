"""Read and write tensors with metadata in one safetensors file, which cannot run code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from bnnkit.border import border
from bnnkit.errors import CheckpointError, brief
from bnnkit.files.atomic import write_bytes
from bnnkit.files.kinds import but_it_is, kind_of_path

FORMAT = 1
_KEY = "bnnkit"


def write(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a file atomically; equal contents give equal bytes.

    Args:
        path: The file.
        tensors: The tensors, on any device.
        about: Metadata that JSON can hold. It is stored as one string, because safetensors writes
            several in varying order.

    Raises:
        FileError: The file cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({"format": FORMAT, **about}, sort_keys=True)
    write_bytes(path, safetensors.torch.save(plain, {_KEY: text}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors, on the CPU, and the metadata.

    Raises:
        CheckpointError: The file is missing, damaged, not written by bnnkit, or of a newer format.
    """
    with border(CheckpointError, path), _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, _about(path, file)  # noqa: SIM118


def read_about(path: Path) -> dict[str, Any]:
    """Read the metadata only.

    Raises:
        CheckpointError: As for `read`.
    """
    with border(CheckpointError, path), _opened(path) as file:
        return _about(path, file)


def check_fit(
    path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str
) -> None:
    """Check that a file's tensors have the expected names, shapes and dtypes.

    Raises:
        CheckpointError: They differ; the message names the first tensor that does.
    """
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is not part of it" for name in tensors if name not in expected]
    problems += [
        f"{name} is {_describe(tensors[name])}, expected {_describe(tensor)}"
        for name, tensor in expected.items()
        if name in tensors and _describe(tensors[name]) != _describe(tensor)
    ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CheckpointError(f"{path} does not fit {what}: {problems[0]}{more}")


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        return safetensors.safe_open(path, framework="pt", device="cpu")
    except safetensors.SafetensorError as error:
        kind = but_it_is(kind_of_path(path))
        raise CheckpointError(
            f"{path} is truncated or not a safetensors file ({' '.join(str(error).split())}){kind}"
        ) from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error


def _about(path: Path, file: Any) -> dict[str, Any]:
    text = (file.metadata() or {}).get(_KEY)
    try:
        about = json.loads(text or "")
        found = about["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is a safetensors file, but not one of bnnkit's") from error
    if found != FORMAT:
        raise CheckpointError(
            f"{path} has format {brief(found)}, this bnnkit reads format {FORMAT}: use a newer "
            "bnnkit"
        )
    return dict(about)


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
