"""The model-local functions of the domain `bnnkit`, with which stock ONNX Runtime runs a file.

One for each operator of docs/artifact.md, made of its schema and its body. The attributes of a
node reach the standard operators through attribute references (`@pads`). A file with an operator
needs the functions of those that it `needs` too.
"""

import functools

import onnx
import onnx.parser

from bnnkit.artifact.format.constants import DOMAIN, OPSET, VERSION
from bnnkit.artifact.operators import OPERATORS


def names() -> tuple[str, ...]:
    """Return the names of bnnkit's operators, in the order of a file's functions."""
    return tuple(OPERATORS)


@functools.cache
def function(name: str) -> onnx.FunctionProto:
    """Return the model-local function of one operator; the caller must not change it.

    Raises:
        KeyError: If `name` is no operator of the domain.
    """
    operator = OPERATORS[name]
    own = f', "{DOMAIN}" : {VERSION}' if operator.needs else ""
    attributes = f"<{', '.join(operator.attributes)}>" if operator.attributes else ""
    inputs, outputs = ", ".join(operator.inputs), ", ".join(operator.outputs)
    return onnx.parser.parse_function(
        f'<domain: "{DOMAIN}", opset_import: ["" : {OPSET}{own}]>\n'
        f"{name} {attributes} ({inputs}) => ({outputs}) {{{operator.body}}}"
    )
