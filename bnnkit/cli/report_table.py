"""The report on an artifact as tables."""

from bnnkit.artifact.report import Report
from bnnkit.cli.console import print_table, write

_KIBIBYTE = 1024


def print_report(report: Report) -> None:
    """Print which layers are binary and why others are not, the signs, and the sizes."""
    # Files of bnnkit store a binary weight in 1 bit; others may not.
    has_ideal = any(layer.ideal_bytes != layer.stored_bytes for layer in report.layers)
    ideal_column = ("bytes at 1 bit per binary weight",) if has_ideal else ()
    print_table(
        "layers",
        ("layer", "operator", "kind", "MACs", "bytes", *ideal_column, "why not binary"),
        [
            (
                layer.name,
                layer.operator,
                layer.kind,
                "unknown" if layer.macs is None else f"{layer.macs:,}",
                f"{layer.stored_bytes:,}",
                *([f"{layer.ideal_bytes:,}"] if has_ideal else []),
                layer.reason,
            )
            for layer in report.layers
        ],
        left=("layer", "operator", "kind", "why not binary"),
    )
    if report.signs:
        print_table(
            "signs",
            ("signs", "computed as", "noise", "where"),
            [
                (
                    sign.name,
                    "integer threshold" if sign.is_threshold else "real sign",
                    sign.noise,
                    sign.reason,
                )
                for sign in report.signs
            ],
            left=("signs", "computed as", "noise", "where"),
        )
    for line in summary(report):
        write(line)


def summary(report: Report) -> list[str]:
    """Return lines on operations by precision, the size of the file, and draws of the weights."""
    total = sum(report.macs.values()) or 1
    parts = (f"{macs:,} {kind} ({macs / total:.1%})" for kind, macs in report.macs.items() if macs)
    unknown = sum(layer.macs is None for layer in report.layers)
    n_layers = len(report.layers)
    missing = f"; unknown for {unknown} of {n_layers} layers: no shapes" if unknown else ""
    lines = [
        f"multiply-accumulates for one input: {', '.join(parts) or 'none'}{missing}",
        f"file: {size(report.file_bytes)}; {_parts_of_the_file(report)}",
    ]
    if report.weight_draws:
        bytes_of_draws = size(report.draw_bytes)
        lines.append(f"draws of each noisy weight: {report.weight_draws}; {bytes_of_draws}")
    for bits, count in report.planes.items():
        layers = "a layer takes" if count == 1 else f"{count} layers take"
        lines.append(
            f"{layers} activations of {bits} bit planes, each as costly as one of signs: with 5 "
            "int8 would be as fast (docs/estimators.md, When few bits pay)"
        )
    return lines


def _parts_of_the_file(report: Report) -> str:
    """Split the size of the file into weights and other constants, and the rest."""
    constants = sum(report.stored_bytes.values()) + report.other_bytes
    parts = [f"weights and other constants: {size(constants)}"]
    if constants > report.ideal_bytes:
        parts.append(f"with 1 bit per binary weight they would take {size(report.ideal_bytes)}")
    if report.file_bytes < constants:  # a .tflite file of int8, read as float32
        parts.append("the file stores some of these numbers in fewer bits")
    else:
        rest = size(report.file_bytes - constants)
        parts.append(f"names, shapes and bodies of functions: {rest}")
    return "; ".join(parts)


def size(n_bytes: int) -> str:
    """Format a size: "812 B", "28.1 KiB", "1.74 MiB"."""
    if n_bytes < _KIBIBYTE:
        return f"{n_bytes} B"
    if n_bytes < _KIBIBYTE**2:
        return f"{n_bytes / _KIBIBYTE:.1f} KiB"
    return f"{n_bytes / _KIBIBYTE**2:.2f} MiB"
