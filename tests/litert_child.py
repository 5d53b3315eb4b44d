"""LiteRT's interpreter in a process of its own, for a Python that has it and nothing of bnnkit.

python litert_child.py FILE, where FILE is bnnkit/engines/lce_child.py, which needs NumPy alone and
says how messages are written. Each message is a file, its inputs, and whether XNNPACK runs what it
can; the answer is all outputs.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any


def main(path: Path) -> None:
    """Answer until the other side closes."""
    spec = importlib.util.spec_from_file_location("messages", path)
    assert spec is not None
    assert spec.loader is not None
    messages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(messages)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while (message := messages.receive(source)) is not None:
        head, inputs, content = message
        try:
            messages.send(target, {}, run(content, inputs, xnnpack=head["xnnpack"]))
        except Exception as error:  # whatever it is, the other side has to know
            messages.send(target, {"error": str(error)}, [])


def run(content: bytes, inputs: list[Any], *, xnnpack: bool) -> list[Any]:
    """All outputs of a file."""
    litert = importlib.import_module("ai_edge_litert.interpreter")
    kinds = litert.OpResolverType
    kind = kinds.AUTO if xnnpack else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    engine = litert.Interpreter(
        model_content=content, num_threads=1, experimental_op_resolver_type=kind
    )
    engine.allocate_tensors()
    for place, array in zip(engine.get_input_details(), inputs, strict=True):
        engine.set_tensor(place["index"], array)
    engine.invoke()
    return [engine.get_tensor(place["index"]) for place in engine.get_output_details()]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
