"""Larq Compute Engine's interpreter in a child process, for a Python with another NumPy.

`python lce_child.py` is run by a Python that has larq-compute-engine and NumPy below 2, and needs
no other part of bnnkit. It reads messages from standard input and answers on standard output. A
message is a line of JSON, followed by the number of bytes that the line states.
"""

import importlib.metadata
import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
PACKAGE = "larq_compute_engine"
DISTRIBUTION = "larq-compute-engine"
MODULE = "bnnkit_lce.interpreter_wrapper_lite"
"""The last part must be the extension module's own name."""


def extension() -> Path | None:
    """Find the interpreter's extension module; None if the package is not installed.

    `import larq_compute_engine` requires TensorFlow, because the package includes the converter.
    The interpreter is a single extension module that needs only NumPy.
    """
    package = importlib.util.find_spec(PACKAGE)  # finds the package without importing it
    if package is None or not package.submodule_search_locations:
        return None
    folder = Path(next(iter(package.submodule_search_locations))) / "tflite" / "python"
    return next(iter(sorted(folder.glob("interpreter_wrapper_lite.*"))), None)


def load_wrapper(path: Path) -> Any:
    """Load the extension module once."""
    if MODULE not in sys.modules:
        spec = importlib.util.spec_from_file_location(MODULE, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is not an extension module")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[MODULE] = module
    return sys.modules[MODULE]


def send(
    stream: IO[bytes], head: dict[str, Any], arrays: list[Array], content: bytes = b""
) -> None:
    """Write a message: a head, the content of a file, and arrays."""
    body = io.BytesIO()
    body.write(content)
    for array in arrays:
        np.save(body, array, allow_pickle=False)
    head = {**head, "content": len(content), "arrays": len(arrays), "bytes": body.tell()}
    stream.write(json.dumps(head).encode() + b"\n" + body.getvalue())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[Array], bytes] | None:
    """Read a message; None if the other side has closed the stream."""
    line = stream.readline()
    if not line:
        return None
    head = json.loads(line)
    if not isinstance(head, dict):
        raise ValueError(f"expected a message, got {line[:80]!r}")
    body = io.BytesIO(stream.read(head["bytes"]))
    content = body.read(head["content"])
    return head, [np.load(body, allow_pickle=False) for _ in range(head["arrays"])], content


def main() -> None:
    """Open the file in the first message, then run the inputs in each later message."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    interpreter = None
    while (message := receive(source)) is not None:
        head, arrays, content = message
        try:
            if interpreter is None:
                interpreter = _open(head, content)
                send(target, {"version": importlib.metadata.version(DISTRIBUTION)}, [])
            else:
                send(target, {}, list(interpreter.predict(arrays)))
        except Exception as error:  # the parent process reports every error
            send(target, {"error": str(error)}, [])


def _open(head: dict[str, Any], content: bytes) -> Any:
    path = extension()
    if path is None:
        raise ImportError(f"{PACKAGE} is not installed for {sys.executable}")
    return load_wrapper(path).LiteInterpreter(content, *head["options"])


if __name__ == "__main__":
    main()
