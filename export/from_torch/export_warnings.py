"""What an export says of a file: what the runtime lacks, useless signs, binary layers in float."""

import warnings

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.budget import onnx_budget
from bnnkit.artifact.checks.check_nodes import all_faults
from bnnkit.artifact.checks.computed import COMPUTED
from bnnkit.artifact.layer_report import NO_FORM
from bnnkit.artifact.report import Report
from bnnkit.errors import UnsupportedError

_SHOWN = 5
_MOST_FAULTS = 20
"""The most reasons that a message names."""


def check_computed(artifact: Artifact, *, only_warn: bool) -> None:
    """Check that bnnkit's runtime computes a network, before it comes to a board.

    Args:
        artifact: The network in the file.
        only_warn: Warn instead of refusing it.

    Raises:
        UnsupportedError: It does not; the message names all reasons.
    """
    budget = onnx_budget(artifact.model, artifact.graph.input_numbers)
    faults = all_faults(artifact, COMPUTED, budget)
    if not faults:
        return
    reasons = "; ".join(faults[:_MOST_FAULTS])
    more = len(faults) - _MOST_FAULTS
    reasons += f"; and {more} more" if more > 0 else ""
    message = f"bnnkit's runtime cannot run this network: {reasons}"
    if not only_warn:
        raise UnsupportedError(
            f"{message}; build it without these, or write it for other engines, such as ONNX"
            " Runtime, with runtime=False"
        )
    _warn(f"{message}; other engines, such as ONNX Runtime, may")


def warn_of_lost_bits(report: Report) -> None:
    """Warn of signs that are the same for every input, and of binary layers that are float.

    The report names them too; a warning reaches those who do not read it.

    Args:
        report: The report on the file.
    """
    signs = {sign.name: sign.reason for sign in report.signs if sign.is_constant}
    if signs:
        reason = next(iter(signs.values()))
        _warn(f"{_listed(list(signs))}: the signs are the same for every input ({reason})")
    layers = [layer.name for layer in report.layers if layer.reason == NO_FORM]
    if layers:
        _warn(
            f"{_listed(layers)}: binary layers that the file computes in float; bit-packed are"
            " BinaryLinear for inputs (N, ..., F), BinaryConv1d and BinaryConv2d"
        )


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)  # the caller of `export_onnx`
