"""Writes the tables of ensembles in README.md from the results."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from markdown_block import write_block
from table import machine

TITLES = {"cifar10": "CIFAR-10, the paper's network", "mnist": "MNIST, small convnet"}


def write_ensemble_table(results: dict[str, Any], readme: Path) -> None:
    """Write the results into their block of a file."""
    parts: list[Iterable[str]] = [_evaluations(results.get("evaluations", {}))]
    if "price" in results:
        parts = [[machine(results["price"]["context"])], _price(results["price"]), *parts]
    write_block(readme, "ensembles", "\n\n".join("\n".join(part) for part in parts))


def _price(price: dict[str, Any]) -> Iterator[str]:
    yield "| CIFAR network, one image | median, ms | least, ms |"
    yield "| --- | ---: | ---: |"
    for name, us in price["latency_us"].items():
        yield f"| {name} | {us['median'] / 1e3:.3f} | {us['least'] / 1e3:.3f} |"
    yield ""
    yield "| ratio | median | 10th to 90th percentile | fastest runs |"
    yield "| --- | ---: | ---: | ---: |"
    for name, found in price["ratios"].items():
        spread = f"{found['low']:.2f} to {found['high']:.2f}"
        yield f"| {name} | {found['median']:.2f} | {spread} | {found['least']:.2f} |"
    share = price["generator"]["share"]
    yield f"| the generator's share, {price['noisy_signs']:,} signs a sample | {share:.1%} | | |"


def _evaluations(evaluations: dict[str, Any]) -> Iterator[str]:
    yield "| trained network | samples | on average | accuracy | NLL | Brier | ECE | µs/image |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, entries in evaluations.items():
        for entry in entries:
            numbers = " | ".join(f"{entry[key]:.4f}" for key in ("nll", "brier", "ece"))
            yield (
                f"| {TITLES.get(name, name)} | {entry['samples']} | {entry['mean_samples']:.2f} |"
                f" {entry['accuracy']:.2%} | {numbers} | {entry['microseconds']:.0f} |"
            )
