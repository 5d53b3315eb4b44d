"""Warnings about a written file: useless signs, and binary layers computed in float."""

import warnings

from bnnkit.artifact.layer_report import NO_FORM
from bnnkit.artifact.report import Report

_SHOWN = 5


def warn_of_lost_bits(report: Report) -> None:
    """Warn of signs that are the same for every input, and of binary layers that are float.

    The report names them too, but who does not read it would find a useless or a slow network
    without a cause.

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
            " BinaryLinear for inputs (N, F) and BinaryConv2d for (N, C, H, W)"
        )


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)  # the caller of export_onnx
