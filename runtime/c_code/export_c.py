"""`export_c`: write a network as a folder of C99."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.input_batch import only_input
from bnnkit.errors import FileError
from bnnkit.files.folder import write_folder
from bnnkit.runtime.c_code import readme_text, source_text, test_text
from bnnkit.runtime.c_code.identifiers import check_name
from bnnkit.runtime.c_code.network import Network, network_of
from bnnkit.runtime.c_code.templates import filled
from bnnkit.runtime.lowering.check_network import check_network
from bnnkit.runtime.open_file import read

SOURCES: Final = Path(__file__).parent / "sources"
DEFAULT_NAME: Final = "bnn"


@dataclass(frozen=True, kw_only=True)
class CReport:
    """What was written.

    Attributes:
        name: The prefix of the functions.
        files: Names of the files.
        constant_bytes: Bytes of weights and other constants.
        workspace_bytes: Bytes of memory that a call has.
        pass_bytes: Those of them that the pass without noise uses.
        stack_bytes: Bytes of stack that a call needs besides, at most.
    """

    name: str
    files: tuple[str, ...]
    constant_bytes: int
    workspace_bytes: int
    pass_bytes: int
    stack_bytes: int


def export_c(
    source: Artifact | Path | str, folder: Path | str, *, name: str = DEFAULT_NAME
) -> CReport:
    """Write a network as C99 that needs no library and computes the bits of bnnkit's runtime.

    Args:
        source: A network, or the path of its .onnx or .tflite file, or zoo:NAME.
        folder: The folder to write: new, empty, or with an earlier export of the same name, whose
            files are replaced, while others in it stay. It is written whole or not at all.
        name: Prefix of the functions and files.

    Returns:
        The files and the memory that the network needs.

    Raises:
        UnsupportedError: If the network has several inputs, or the exported C lacks a part of it;
            the message names all.
        UsageError: If the name is not one in C, or something else has it (identifiers.py).
        ArtifactError: If the file is damaged.
        FileError: If the folder cannot be written, or holds other files.
    """
    check_name(name, [Path(kernel).stem for kernel in source_text.KERNELS])
    artifact = source if isinstance(source, Artifact) else read(source)
    check_network(artifact)
    only_input(artifact.graph.input_names, "the export to C")
    network = network_of(artifact)
    files = _files(network, name)
    check_contents(Path(folder), name)
    write_folder(Path(folder), files)
    return CReport(
        name=name,
        files=tuple(files),
        constant_bytes=network.constants.nbytes,
        workspace_bytes=network.workspace_bytes,
        pass_bytes=network.deterministic.nbytes,
        stack_bytes=source_text.STACK_BYTES,
    )


def _files(network: Network, name: str) -> dict[str, str]:
    """Return the text of each file."""
    kernels = {one: (SOURCES / one).read_text(encoding="utf-8") for one in source_text.KERNELS}
    return {
        "README.md": readme_text.readme(network, name),
        "CMakeLists.txt": filled("CMakeLists.txt", name=name, NAME=name.upper()),
        f"{name}.h": source_text.header(network, name),
        f"{name}.c": source_text.source(network, name),
        f"{name}_weights.h": source_text.weights(network),
        f"{name}_test.c": test_text.test_source(network, name),
        **kernels,
    }


def check_contents(folder: Path, name: str) -> None:
    """Check that a folder is empty, absent, or holds an earlier export of the same name.

    Raises:
        FileError: If it holds other files, among which the new ones would be lost.
    """
    try:
        is_other = folder.is_dir() and any(folder.iterdir())
        is_other = is_other and not (folder / f"{name}_weights.h").exists()
    except (OSError, ValueError) as error:  # not readable, or a null character
        raise FileError(f"cannot read {folder}: {error}") from error
    if is_other:
        raise FileError(
            f"cannot write into {folder}: expected a new or empty folder, or an earlier export"
            f" named {name}; it holds other files"
        )
