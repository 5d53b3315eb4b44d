"""Translates the bytes of a .tflite file to an artifact in memory."""

import json
from typing import Final

import numpy as np
import onnx
from onnx import helper

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.constants import DOMAIN, VERSION
from bnnkit.errors import ArtifactError, BnnkitError, UnsupportedError
from bnnkit.runtime.from_tflite.folding import FOLDS, fold
from bnnkit.runtime.from_tflite.interface import give_input, give_output
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.translations import TRANSLATIONS, Translation
from bnnkit.tflite.metadata import from_entries
from bnnkit.tflite.network import Network, Operator
from bnnkit.tflite.read import is_tflite, read
from bnnkit.tflite.schema import Builtin

__all__ = ["from_tflite", "is_tflite"]

_OPSET: Final = 21
_IR_VERSION: Final = 10
_OWN: Final = "bnnkit "
"""Start of the description in files that bnnkit wrote."""
_RESTATED: Final = frozenset(
    f"{DOMAIN}.{key}" for key in ("format", "mode", "input", "signs", "source")
)
"""Properties that the artifact of a file states itself."""
_MOST_NAMED: Final = 4
"""Most inputs or operators that a message names."""


def from_tflite(content: bytes) -> Artifact:
    """The network in a TFLite file as an artifact (docs/artifact.md).

    The input and the outputs are those of the file, with maps (N, H, W, C), but the batch is free.
    Signs have the names of the file's packed tensors, with dots instead of slashes.

    Args:
        content: Of a file written by LCE's converter, bnnkit or another program.

    Returns:
        The artifact, without functions for other engines; its `tflite_source` is the content.

    Raises:
        ArtifactError: The file is damaged; the message says what is wrong.
        UnsupportedError: The file has a part that bnnkit lacks; the message names the operator by
            its index in the file.
    """
    network = read(content)
    _check_inputs(network)
    if not network.outputs:
        raise ArtifactError("the TFLite file has no outputs")
    place = network.inputs[0]
    shape = network.tensors[place].shape
    if not shape or min(shape) < 1:
        raise UnsupportedError(f"expected an input with a batch and fixed sizes, got {shape}")
    _check_known(network)
    builder = OnnxBuilder(network, len(content))
    given = give_input(builder, place)
    for index, operator in enumerate(network.operators):
        _translate(builder, index, operator)
    outputs = [give_output(builder, place) for place in network.outputs]
    return Artifact(_model(builder, network, given, outputs), content)


def _check_inputs(network: Network) -> None:
    """Check that there is one input, and no noise as in sampled files of bnnkit.

    Raises:
        UnsupportedError: There are several inputs, or noise.
    """
    draws = any(operator.code == Builtin.RANDOM_UNIFORM for operator in network.operators)
    is_own = network.description.startswith(_OWN)
    if is_own and (draws or len(network.inputs) > 1):
        raise UnsupportedError(
            "this is a sampled TFLite file of bnnkit's exporter: bnnkit runs the .onnx that it was"
            " made from"
        )
    if len(network.inputs) != 1:
        names = ", ".join(network.tensors[place].name for place in network.inputs[:_MOST_NAMED])
        raise UnsupportedError(
            f"expected a model with one input, the images, got {len(network.inputs)} ({names}):"
            " build the network with one"
        )


def _check_known(network: Network) -> None:
    """Check that bnnkit has all operators.

    Raises:
        UnsupportedError: Some are missing; the message names them all.
    """
    lacking: dict[str, list[int]] = {}
    for index, operator in enumerate(network.operators):
        if operator.code not in TRANSLATIONS and operator.code not in FOLDS:
            lacking.setdefault(operator.name, []).append(index)
    if not lacking:
        return
    named = [
        f"{'operator' if len(indices) == 1 else 'operators'}"
        f" {', '.join(map(str, indices[:_MOST_NAMED]))}"
        f"{' and others' if len(indices) > _MOST_NAMED else ''} ({name})"
        for name, indices in lacking.items()
    ]
    raise UnsupportedError(
        f"{'; '.join(named[:_MOST_NAMED])}: bnnkit lacks this, build the network without it, or"
        " run the file by LCE's own interpreter"
    )


def _translation(operator: Operator) -> Translation:
    """The translation of an operator with computed inputs.

    Raises:
        UnsupportedError: bnnkit has this operator for constants only.
    """
    if operator.code not in TRANSLATIONS:
        raise UnsupportedError("bnnkit has this operator for constants only")
    return TRANSLATIONS[operator.code]


def _translate(builder: OnnxBuilder, index: int, operator: Operator) -> None:
    """Translate one operator; errors name it.

    Raises:
        ArtifactError, UnsupportedError: As `from_tflite`.
    """
    here = f"operator {index} ({operator.name})"
    builder.begin(f"{index}.{operator.name}")
    try:
        with np.errstate(all="ignore"):  # constants may be infinite or NaN
            if not fold(builder, operator):
                _translation(operator)(builder, operator)
    except BnnkitError as error:
        kind = UnsupportedError if isinstance(error, UnsupportedError) else ArtifactError
        raise kind(f"{here}: {error}") from error


def _kept(network: Network) -> dict[str, str]:
    """Properties of the artifact that the file was made from, if they are still true."""
    found = from_entries(network.metadata)
    return {key: text for key, text in found.items() if key not in _RESTATED}


def _model(
    builder: OnnxBuilder,
    network: Network,
    given: onnx.ValueInfoProto,
    outputs: list[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    ends = {given.name, *(output.name for output in outputs)}
    infos = [info for name, info in builder.value_infos.items() if name not in ends]
    graph = helper.make_graph(
        builder.nodes, "tflite", [given], outputs, builder.initializers, value_info=infos
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(DOMAIN, VERSION)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    tensor = given.type.tensor_type
    about = {
        "name": given.name,
        "dtype": np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name,
        "shape": [dim.dim_value for dim in tensor.shape.dim[1:]],
    }
    helper.set_model_props(
        model,
        {
            **_kept(network),
            f"{DOMAIN}.format": str(VERSION),
            f"{DOMAIN}.mode": "deterministic",
            f"{DOMAIN}.source": f"TFLite, {network.description[:80] or 'no description'}",
            f"{DOMAIN}.input": json.dumps(about),
        },
    )
    return model
