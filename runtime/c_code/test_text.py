"""The exported C's own test: inputs and the bits of the outputs that bnnkit's runtime computes."""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.runtime.c_code.identifiers import argument_names
from bnnkit.runtime.c_code.network import Network, Output
from bnnkit.runtime.c_code.source_text import input_type
from bnnkit.runtime.c_code.templates import filled, lines
from bnnkit.runtime.lowering.kernel_forms import forms_of_this_cpu
from bnnkit.runtime.model import Model

IMAGES = 3
SAMPLES, SEED = 3, 1
ELEMENTS = {"uint8_t": "uint8_t", "int32_t": "int32_t", "float": "uint32_t"}
"""How outputs are stored: floats by their bits."""


def test_source(network: Network, name: str) -> str:
    """Return the source of the test."""
    model, kind = Model(network.artifact), input_type(network)
    images = _images(network.artifact)
    outputs = network.deterministic.outputs
    run = _tuple(model.run(images))
    samples = SAMPLES if model.is_stochastic else 0
    predicted = _predicted(model, images, samples)
    names = argument_names(outputs, "output")
    arrays = [_array("images", kind if kind == "uint8_t" else "uint32_t", images)]
    for one, output, value in zip(names, outputs, run, strict=True):
        arrays.append(_array(f"run_{one}", ELEMENTS[output.c_type], value))
    for one, value in zip(names, predicted, strict=True):
        arrays.append(_array(f"predict_{one}", "uint32_t", value))
    pairs = list(zip(names, outputs, strict=True))
    return filled(
        "test.c",
        name=name,
        arrays="".join(arrays),
        tolerance=_tolerance(network),
        images=len(images),
        type=kind,
        size=prod(network.artifact.graph.input_shape),
        buffers=lines([line for one, output in pairs for line in _buffers(one, output)], 4),
        own=", ".join(f"own_{one}" for one in names),
        means=", ".join(f"mean_{one}" for one in names),
        samples=samples,
        seed=SEED,
        checks=lines([line for one, output in pairs for line in _checks(one, output)], 4),
    )


def _buffers(name: str, output: Output) -> tuple[str, str]:
    """Declare the results of an output."""
    count = output.count
    return f"{output.c_type} own_{name}[{count}];", f"float mean_{name}[{count}];"


def _checks(name: str, output: Output) -> tuple[str, str]:
    """Compare the results of an output."""
    is_float, size = int(output.c_type == "float"), f"sizeof *own_{name}"
    own = f"bad += differs(own_{name}, run_{name}[i], {output.count}, {size}, {is_float});"
    return own, f"bad += differs(mean_{name}, predict_{name}[i], {output.count}, 4, 1);"


def _predicted(model: Model, images: NDArray[Any], samples: int) -> Sequence[NDArray[Any]]:
    """Return what `predict` gives for each image alone, so that each has the number 0."""
    found = [
        _tuple(model.predict(images[i : i + 1], samples=samples, seed=SEED))
        for i in range(len(images))
    ]
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def _images(artifact: Artifact) -> NDArray[Any]:
    """Return inputs of the network: pixels, or normally distributed numbers."""
    rng, shape = np.random.default_rng(0), (IMAGES, *artifact.graph.input_shape)
    if artifact.graph.input_dtype == np.uint8:
        return rng.integers(0, 256, shape, np.uint8)
    return rng.standard_normal(shape, np.float32)


def _tolerance(network: Network) -> str:
    """Return 0 where bnnkit's runtime computes the same bits on the CPU that exports."""
    code = "".join(call.code for one in _all_passes(network) for call in one.calls)
    is_ordered = "bnn_add_signed" not in code or forms_of_this_cpu().signed == "octets"
    uses_numpy = "bnn_sigmoid" in code or "bnn_exponentials" in code
    return "0.0f" if is_ordered and not uses_numpy else "1e-5f"


def _all_passes(network: Network) -> Iterable[Any]:
    return network.deterministic, *network.samples


def _tuple(result: object) -> Sequence[NDArray[Any]]:
    return result if isinstance(result, tuple) else (np.asarray(result),)


def _array(name: str, kind: str, values: NDArray[Any]) -> str:
    """Declare an array (images, numbers); floats are stored by their bits."""
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    bits = flat.view(np.uint32) if kind == "uint32_t" else flat
    rows = [_wrapped([str(n) + "u" * (kind == "uint32_t") for n in row]) for row in bits.tolist()]
    joined = ",\n".join(f"{{\n{row}\n}}" for row in rows)
    return f"static const {kind} {name}[{len(bits)}][{bits.shape[1]}] = {{\n{joined}\n}};\n"


def _wrapped(words: Sequence[str], per_line: int = 16) -> str:
    lines = [", ".join(words[at : at + per_line]) for at in range(0, len(words), per_line)]
    return ",\n".join(lines)
