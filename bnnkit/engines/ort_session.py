"""Sessions of ONNX Runtime with bnnkit's settings, and its errors in one line."""

import re
from collections.abc import Sequence
from typing import Any

import onnx

from bnnkit.errors import MissingExtraError, UnsupportedError

_ERROR_CODE = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : ((This is an )?invalid model\. )?", re.IGNORECASE
)
_SOURCE_PLACE = re.compile(r"[\s:]*\S+\.(cc|h|cpp|hpp):\d+ .*")


def open_session(model: onnx.ModelProto, threads: int) -> Any:
    """Open an onnxruntime session with all optimisations and without spinning threads.

    Raises:
        MissingExtraError: If onnxruntime is not installed.
        UnsupportedError: If onnxruntime refuses the model.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised as well, so don't print them
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors have no common class
        raise UnsupportedError(f"onnxruntime cannot open the model: {reason(error)}") from error


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Copy the model and add the named values to its outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in copy.graph.output}
    shaped = {value.name: value for value in copy.graph.value_info}
    for name in names:
        if name not in known:
            copy.graph.output.append(shaped.get(name) or onnx.ValueInfoProto(name=name))
    return copy


def reason(error: Exception) -> str:
    """Return the first sentence of an onnxruntime error, without positions in its source."""
    said = _ERROR_CODE.sub("", " ".join(str(error).split()))
    return _SOURCE_PLACE.sub("", said).split(". ")[0].rstrip(".")


def import_onnxruntime() -> Any:
    """Import onnxruntime.

    Raises:
        MissingExtraError: If onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise  # a bug of ours must not read as a missing package
        raise MissingExtraError("the engine onnxruntime", "ort") from error
    return onnxruntime
