"""Writes the table of LCE's files in README.md from the results of all measured CPUs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markdown_block import write_block
from table import machine


def write_lce_table(results: Path, readme: Path) -> None:
    """Write the results of a folder into their block of a file."""
    measured = [json.loads(path.read_text()) for path in sorted(results.glob("lce-*.json"))]
    write_block(readme, "lce", "\n\n".join("\n".join(_lines(one)) for one in measured))


def _lines(measured: dict[str, Any]) -> Iterator[str]:
    yield f"{measured['kernels']}: {machine(measured['context'])}"
    yield ""
    yield (
        "| network | bnnkit, ms | LCE's best kernel, ms | times as fast |"
        " 10th to 90th percentile | fastest runs |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for network in measured["networks"]:
        best = min(network["ratios"], key=lambda name: network["ratios"][name]["median"])
        ratio, latency = network["ratios"][best], network["latency_us"]
        milliseconds = [latency[name]["median"] / 1e3 for name in ("bnnkit", best)]
        yield (
            f"| {network['network']} | {milliseconds[0]:.2f} | {milliseconds[1]:.2f}"
            f" ({best.removeprefix('lce, ').removesuffix(' kernel')}) | {ratio['median']:.2f} |"
            f" {ratio['low']:.2f} to {ratio['high']:.2f} | {ratio['least']:.2f} |"
        )
