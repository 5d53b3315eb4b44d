"""The text of the exported C: the header, the constants, and the passes."""

import re
from collections.abc import Iterable, Iterator, Sequence
from math import prod

import numpy as np

from bnnkit.runtime.c_code.buffers import Call
from bnnkit.runtime.c_code.identifiers import argument_names
from bnnkit.runtime.c_code.network import Network, Output, Pass
from bnnkit.runtime.c_code.templates import filled, lines

KERNELS = (
    "bnn_base.h",
    "bnn_window.h",
    "bnn_count.h",
    "bnn_bit_slices.h",
    "bnn_noise.h",
    "bnn_integer_layer.h",
    "bnn_real_layer.h",
    "bnn_reals.h",
    "bnn_signs.h",
    "bnn_outputs.h",
)
"""The headers with the kernels, in the folder `sources`; each may include those before it."""
_INCLUDED = KERNELS[5:]
STACK_BYTES = 8192
"""More than any call needs besides its workspace: no buffer of a kernel depends on the network."""
_USES = {
    "BNN_TO_SIGNS": "BNN_USES_SIGNS",
    "BNN_TO_REALS": "BNN_USES_REALS",
    "BNN_TO_NOISY_SIGNS": "BNN_USES_NOISY_SIGNS",
    "BNN_SLICED": "BNN_USES_SLICES",
}
"""Macros without which parts of bnn_integer_layer.h are left out, by what needs them."""
_NO_SAMPLES = "  (void)samples, (void)seed, (void)number;"
_QUANTITIES = {
    "scores": "bnn_softmax",
    "log-probabilities": "bnn_exponentials",
    "label-log-probabilities": "bnn_exponentials",
    "log-odds": "bnn_sigmoid",
}
"""What turns an output into what is averaged, by its kind (docs/artifact.md, Outputs)."""


def input_type(network: Network) -> str:
    """Return C's type of a number of the input."""
    return "uint8_t" if network.artifact.graph.input_dtype == np.uint8 else "float"


def has_images(network: Network) -> bool:
    """Return whether an input is an image (C, H, W)."""
    return len(network.artifact.graph.input_shape) == 3


def input_name(network: Network) -> str:
    """Return C's name of the input."""
    return "image" if has_images(network) else "inputs"


def run_names(outputs: Sequence[Output]) -> list[str]:
    """Return C's names of the file's own outputs."""
    return argument_names(outputs, outputs[0].kind.replace("-", "_"))


def predict_names(outputs: Sequence[Output]) -> list[str]:
    """Return C's names of what is averaged over samples."""
    return argument_names(outputs, _averaged(outputs[0]))


def _averaged(output: Output) -> str:
    """Return what is averaged of an output, in a word."""
    return "values" if output.kind == "values" else "probabilities"


def header(network: Network, name: str) -> str:
    """Return the public header."""
    run, predict = _parameters(network)
    averaged = dict.fromkeys(map(_averaged, network.deterministic.outputs))
    return filled(
        "network.h",
        name=name,
        NAME=name.upper(),
        defines="\n".join(_defines(network, name.upper())),
        parameter=_input_parameter(network),
        input="image" if has_images(network) else "input",
        run=run,
        predict=predict,
        averaged=" and ".join(averaged),
    )


def _defines(network: Network, prefix: str) -> Iterator[str]:
    """Define the sizes of the network."""
    outputs, shape = network.deterministic.outputs, network.artifact.graph.input_shape
    yield f"#define {prefix}_INPUT_SIZE {prod(shape)} /* {_shape(shape)} */"
    for one, output in zip(argument_names(outputs, "OUTPUT"), outputs, strict=True):
        comment = f"{output.kind}, {_shape(output.value.shape)}"
        yield f"#define {prefix}_{one.upper()}_SIZE {output.count} /* {comment} */"
    yield f"#define {prefix}_WORKSPACE_BYTES {network.workspace_bytes} /* memory of one call */"
    yield f"#define {prefix}_STACK_BYTES {STACK_BYTES} /* stack of one call besides, at most */"


def weights(network: Network) -> str:
    """Return the header with the constants."""
    comment = (
        "/* The constants of the network; bnn_integer_layer.h says how weights are packed. */"
    )
    return "\n".join([comment, "", *network.constants.declarations, ""])


def source(network: Network, name: str) -> str:
    """Return the source file."""
    declared = "\n".join(network.constants.declarations)
    uses = [
        f"#define {macro}\n"
        for field, macro in _USES.items()
        if re.search(rf"= {field}\b", declared)
    ]
    includes = [f'#include "{one}"\n' for one in (f"{name}.h", *_INCLUDED, f"{name}_weights.h")]
    parts = [
        "/* The passes of the network, and the functions that call them. */\n",
        *uses,
        *includes,
        "\n#define AT(offset) ((void *)(memory + (offset)))\n",
        *_passes(network),
        _functions(network, name),
    ]
    return "".join(parts)


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "1"


def _input_parameter(network: Network) -> str:
    return f"const {input_type(network)} *{input_name(network)}"


def _parameters(network: Network) -> tuple[str, str]:
    """Return the output parameters of `run` and `predict`."""
    outputs = network.deterministic.outputs
    run = [
        f"{output.c_type} *{name}"
        for output, name in zip(outputs, run_names(outputs), strict=True)
    ]
    predict = [f"float *{name}" for name in predict_names(outputs)]
    return ", ".join(run), ", ".join(predict)


def _passes(network: Network) -> Iterable[str]:
    head, source = f"{_input_parameter(network)}, uint8_t *memory", input_name(network)
    none = "  const bnn_sample *const sample = 0;\n"
    one = network.deterministic
    yield f"\nstatic void pass({head}) {{\n{none}{_statements(one, one.calls, source)}}}\n"
    for draw, one in enumerate(network.samples):
        shared = f"{none}{_statements(one, one.shared, source)}"
        yield f"\nstatic void shared_{draw}({head}) {{\n{shared}}}\n"
        sampled = _statements(one, one.sampled, source)
        parameters = f"{head}, const bnn_sample *sample"
        yield f"\nstatic void sampled_{draw}({parameters}) {{\n{sampled}}}\n"


def _statements(one: Pass, calls: Iterable[Call], source: str) -> str:
    """Return the body of a function whose input has the name `source`."""
    lines = [f"  {_statement(one, call, source)}\n" for call in calls]
    return "".join([*lines, f"  (void){source}, (void)memory, (void)sample;\n"])


def _statement(one: Pass, call: Call, source: str) -> str:
    places = {
        name: f"AT({one.offsets[value]})" if value in one.offsets else source
        for name, value in call.operands.items()
    }
    return call.code.format(**places)


def _functions(network: Network, name: str) -> str:
    """Return the public functions."""
    one, (run, predict) = network.deterministic, _parameters(network)
    results, means = run_names(one.outputs), predict_names(one.outputs)
    copies = [_copy(one, output, to) for output, to in zip(one.outputs, results, strict=True)]
    return filled(
        "functions.c",
        name=name,
        NAME=name.upper(),
        parameter=_input_parameter(network),
        input=input_name(network),
        run=run,
        predict=predict,
        results=", ".join(results),
        means=", ".join(means),
        copies=lines(copies, 2),
        quantities=lines(_quantities(one, means), 2),
        samples=_samples(network, means) if network.samples else _NO_SAMPLES,
    )


def _copy(one: Pass, output: Output, to: str) -> str:
    """Return the copy of an output to the caller's array, in ONNX's order."""
    value, at = output.value, f"AT({one.offsets[output.stored]})"
    size = 1 if output.c_type == "uint8_t" else 4
    if value.kind == "signs":
        channels, height, width = value.map
        return f"bnn_unpack_codes({at}, {height * width}, {channels}, {to});"
    if len(value.shape) == 3 and value.shape[1:] != (1, 1):
        channels, height, width = value.shape
        return f"bnn_transpose({at}, {height * width}, {channels}, {size}, {to});"
    return f"memcpy({to}, {at}, {output.count * size});"


def _quantity(one: Pass, output: Output, to: str) -> list[str]:
    """Return the statements that compute what is averaged of an output, as float."""
    found = [_copy(one, output, to)]
    if output.c_type == "uint8_t":
        found = [found[0].replace(f"{to});", f"(uint8_t *){to});")]
        found.append(f"bnn_expand_bytes({to}, {output.count});")
    elif output.c_type == "int32_t":
        found.append(f"bnn_cast_sums({to}, {output.count}, {to});")
    if output.kind in _QUANTITIES:
        found.append(f"{_QUANTITIES[output.kind]}({to}, {output.count}, {to});")
    return found


def _quantities(one: Pass, names: Sequence[str]) -> list[str]:
    pairs = zip(one.outputs, names, strict=True)
    return [line for output, to in pairs for line in _quantity(one, output, to)]


def _samples(network: Network, names: Sequence[str]) -> str:
    """Return the statements that average over samples and return."""
    counts = [output.count for output in network.deterministic.outputs]
    source = input_name(network)
    starts = network.pass_bytes + 8 * np.cumsum([0, *counts])
    each = [
        (f"(double *)AT({start})", count, name)
        for start, count, name in zip(starts, counts, names, strict=False)
    ]
    means = [f"bnn_divide_totals({total}, {n}, samples, {to});" for total, n, to in each]
    return filled(
        "samples.c",
        start=starts[0],
        nbytes=starts[-1] - starts[0],
        shared=f"    shared_0({source}, memory);\n" if len(network.samples) == 1 else "",
        draws=lines(list(_draws(network, names)), 6),
        adds=lines([f"bnn_add_to_totals({to}, {n}, {total});" for total, n, to in each], 6),
        means=lines(means, 4),
    )


def _draws(network: Network, names: Sequence[str]) -> Iterator[str]:
    """Yield the statements of one sample, which depend on the draw of the weights it uses."""
    count, source = len(network.samples), input_name(network)
    for draw, one in enumerate(network.samples):
        if count > 1:
            yield f"{'else ' * (draw > 0)}if (sample.sample % {count} == {draw}) {{"
            yield f"shared_{draw}({source}, memory);"
        yield f"sampled_{draw}({source}, memory, &sample);"
        yield from _quantities(one, names)
        if count > 1:
            yield "}"
