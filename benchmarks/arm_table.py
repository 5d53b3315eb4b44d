"""The tables of arm_model.py, from its stored results."""

from collections.abc import Callable
from typing import Any

from arm_program import CORES, Core

Row = dict[str, Any]
OPERATIONS = 3
"""Vector operations (eor, cnt, add) for 128 MACs of signs."""
LOADS = 8 / 16
"""Vector loads for 128 MACs of a tile of four pixels and four channels."""
PRODUCTS = {"cortex-a53": 4, "cortex-a72": 4, "cortex-a76": 16}
"""MACs a cycle of first layers that fill the multipliers: smlal, or two sdot for 16 MACs each."""
LCE_LOOPS = {
    "LCE, 4x4 (its default), loop only": (11.8, 78.6, 78.7),
    "LCE, indirect 8x4x4, loop only": (30.3, 85.3, 85.3),
}
"""MACs a cycle of the inner loops of Larq Compute Engine for AArch64, one for each core: figures
that were measured once by hand in the same model, from the assembly of LCE's repository, HEAD
e6860fc: core/bgemm/kernels_aarch64.h and core/indirect_bgemm/kernel_8x4x4_aarch64.h."""


def bound(core: Core) -> float:
    """Return the MACs a cycle that fill the vector pipes, with loads where they issue there."""
    operations = OPERATIONS + (LOADS if core.loads_issue else 0)
    return 128 * core.pipes / operations


def markdown(results: dict[str, Any]) -> str:
    """Return the tables, and the count of the CIFAR network."""
    now, before = results["instructions of the CIFAR network"].values()
    count = (
        f"One image of the CIFAR network takes {now / 1e6:.1f} million instructions on an A72,"
        f" {now / before:.2f} of the {before / 1e6:.1f} million of the kernels before."
    )
    parts = (_binary(results["binary"]), _first(results["first"]), _noise(results["noise"]))
    return "\n\n".join(["\n".join(part) for part in parts] + [count])


def _binary(rows: list[Row]) -> list[str]:
    lines = _head("3x3 layer of signs, MACs a cycle (share of the bound)")
    for channels, form in dict.fromkeys((row["channels"], row["form"]) for row in rows):
        cells = _cells(
            rows,
            lambda row, core: f"{_rate(row)} ({row['macs_per_cycle'] / bound(core):.0%})",
            channels=channels,
            form=form,
        )
        lines.append(_line(f"{channels} channels, {form}", cells))
    alone = _cells(rows, lambda row, _: f"{row['loop_only']:.1f}", channels=256, form="now")
    lines.append(_line("256 channels, now, loop only", alone))
    for name, rates in LCE_LOOPS.items():
        lines.append(_line(f"{name} (stored figures)", [f"{rate:.1f}" for rate in rates]))
    return [*lines, _line("bound", [f"{bound(core):.1f}" for core in CORES])]


def _first(rows: list[Row]) -> list[str]:
    lines = _head("first layer, MACs a cycle")
    for layer in dict.fromkeys(row["layer"] for row in rows):
        for form in ("now", "before"):
            cells = _cells(rows, lambda row, _: _rate(row), layer=layer, form=form)
            lines.append(_line(f"{layer}, {form}", cells))
    return [*lines, _line("bound", [str(PRODUCTS[core.name]) for core in CORES])]


def _noise(rows: list[Row]) -> list[str]:
    lines = _head("noise, cycles for a sign")
    for form in ("now", "before"):
        cells = _cells(rows, lambda row, _: f"{row['cycles_per_sign']:.1f}", form=form)
        lines.append(_line(form, cells))
    return lines


def _rate(row: Row) -> str:
    return f"{row['macs_per_cycle']:.1f}"


def _cells(rows: list[Row], text: Callable[[Row, Core], str], **wanted: Any) -> list[str]:
    """Return the text of one row for each core."""
    found = {row["core"]: row for row in rows if wanted.items() <= row.items()}
    return [text(found[core.name], core) for core in CORES]


def _head(title: str) -> list[str]:
    names = [core.name.removeprefix("cortex-").upper() for core in CORES]
    return [_line(title, names), "| --- | ---: | ---: | ---: |"]


def _line(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"
