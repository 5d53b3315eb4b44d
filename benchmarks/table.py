"""Writes the tables of README.md from the results."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markdown_block import write_block

TITLES = {"vgg": "CIFAR network, 32x32", "bi-real-18": "Bi-Real ResNet-18, 224x224"}


def write_table(results: dict[str, Any], readme: Path) -> None:
    """Write the results into their block of a file."""
    write_block(readme, "results", markdown(results))


def markdown(results: dict[str, Any]) -> str:
    """Format the results as tables."""
    return "\n\n".join(
        "\n".join(part)
        for part in (
            [machine(results["context"])],
            _latencies(results),
            _ratios(results),
            _ceiling(results),
            _footprint(results["footprint"]),
        )
    )


def machine(context: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in context["versions"].items())
    before, after = context["load_avg"][0], context["load_avg_after"][0]
    return (
        f"{context['cpu_model']}, {context['num_cpus']} CPUs, {context['date'][:10]}; load average"
        f" {before:.1f} before and {after:.1f} after; {versions}."
    )


def _latencies(results: dict[str, Any]) -> Iterator[str]:
    yield "| network | engine | median, ms | p90, ms | least, ms |"
    yield "| --- | --- | ---: | ---: | ---: |"
    times: dict[tuple[str, str], dict[str, float]] = {}
    for entry in results["benchmarks"]:
        network, engine, *_ = entry["run_name"].split("/")
        milliseconds = entry["real_time"] / 1e3
        times.setdefault((network, engine), {})[entry["aggregate_name"]] = milliseconds
    for (network, engine), found in times.items():
        numbers = " | ".join(f"{found[name]:.3f}" for name in ("median", "p90", "min"))
        yield f"| {TITLES[network]} | {engine} | {numbers} |"
    for engine, reason in results["left_out"].items():
        yield f"| | {engine} | {reason} | | |"


def _ratios(results: dict[str, Any]) -> Iterator[str]:
    yield "| network | times as fast | against | median | 10th to 90th percentile | fastest runs |"
    yield "| --- | --- | --- | ---: | ---: | ---: |"
    for found in results["ratios"]:
        spread = f"{found['low']:.2f} to {found['high']:.2f}"
        yield (
            f"| {TITLES[found['network']]} | {found['engine']} | {found['against']} |"
            f" {found['median']:.2f} | {spread} | {found['least']:.2f} |"
        )


def _ceiling(results: dict[str, Any]) -> Iterator[str]:
    yield "| network | binary layers | GMAC/s | of the ceiling, least | median |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for network, steps in results["profile"].items():
        layers = [step for step in steps if step["of_ceiling"] is not None]
        shares = sorted(step["of_ceiling"] for step in layers)
        speeds = [step["gmacs"] for step in layers]
        middle = shares[len(shares) // 2]
        yield (
            f"| {TITLES[network]} | {len(layers)} | {min(speeds):.0f} to {max(speeds):.0f} |"
            f" {shares[0]:.0%} | {middle:.0%} |"
        )


def _footprint(footprint: dict[str, Any]) -> Iterator[str]:
    startup = footprint["startup_seconds"]
    yield f"| {TITLES[footprint['network']]} | |"
    yield "| --- | ---: |"
    yield f"| memory that the network and its runs add | {footprint['added_megabytes']:.1f} MB |"
    yield f"| first result of a fresh process, kernels cached | {startup['with_cache']:.2f} s |"
    yield f"| the same, kernels to compile | {startup['without_cache']:.2f} s |"
