"""The README of an exported folder."""

from math import prod

from bnnkit.runtime.c_code.identifiers import argument_names
from bnnkit.runtime.c_code.network import Network
from bnnkit.runtime.c_code.source_text import (
    STACK_BYTES,
    has_images,
    input_name,
    input_type,
    predict_names,
)
from bnnkit.runtime.c_code.templates import filled

_SAMPLES = 10


def readme(network: Network, name: str) -> str:
    """Return the README, of one screen."""
    graph, outputs = network.artifact.graph, network.deterministic.outputs
    kind, means = input_type(network), predict_names(outputs)
    counts = [one.upper() for one in argument_names(outputs, "OUTPUT")]
    pairs = list(zip(means, counts, outputs, strict=True))
    return filled(
        "README.md",
        name=name,
        NAME=name.upper(),
        shape=" x ".join(map(str, graph.input_shape)),
        dtype=graph.input_dtype.name,
        order=", channel by channel" if has_images(network) else "",
        input=input_name(network),
        outputs=", ".join(f"{output.name} ({output.kind}, {output.count})" for output in outputs),
        constant_bytes=f"{network.constants.nbytes:,}",
        workspace_bytes=f"{network.workspace_bytes:,}",
        stack_bytes=f"{STACK_BYTES:,}",
        type=kind,
        arrays="\n".join(f"float {one}[{name.upper()}_{count}_SIZE];" for one, count, _ in pairs),
        means=", ".join(means),
        samples=_SAMPLES if network.samples else 0,
        ctype="c_uint8" if kind == "uint8_t" else "c_float",
        size=prod(graph.input_shape),
        python="\n".join(f"{one} = (ctypes.c_float * {o.count})()" for one, _, o in pairs),
    )
