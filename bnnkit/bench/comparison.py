"""Two stored benchmarks, of two boards or of two versions, side by side."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnnkit.bench.conditions import clock_range
from bnnkit.errors import UsageError

Content = dict[str, Any]
"""An object of `to_json`."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One setting in both benchmarks.

    Attributes:
        name: The engine, batch, threads and samples.
        first_us: The median latency in the first benchmark, in microseconds.
        second_us: The same in the second.
        spread: How much the rounds differ, the larger of the two as a fraction of the median.
    """

    name: str
    first_us: float
    second_us: float
    spread: float

    @property
    def speed_up(self) -> float:
        """How many times as fast the second is."""
        return self.first_us / self.second_us


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two benchmarks.

    Attributes:
        pairs: The settings that both have.
        only_first: The names of the settings that only the first has.
        only_second: The names of those that only the second has.
        facts: What the machines are, by name: a pair of texts each.
        warnings: What each benchmark warns of.
    """

    pairs: tuple[Pair, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    facts: dict[str, tuple[str, str]]
    warnings: tuple[tuple[str, ...], tuple[str, ...]]


def read_benchmark(file: Path) -> Content:
    """Read a file of `bnnkit bench --json`.

    Raises:
        UsageError: If the file is missing or is not such a file.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"{file}: expected a file of bench --json, got {error}") from error
    try:
        _medians(content), machine_facts(content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(
            f"{file}: expected a file of bench --json, with context and benchmarks; this one lacks"
            f" {error}"
        ) from error
    return dict(content)


def compare_benchmarks(first: Content, second: Content) -> Comparison:
    """Compare two benchmarks; see `read_benchmark`.

    Settings are matched by engine, batch, threads and samples, so that two models can be compared
    too.
    """
    one, two = _medians(first), _medians(second)
    facts_one, facts_two = machine_facts(first), machine_facts(second)
    return Comparison(
        pairs=tuple(
            Pair(
                name=name,
                first_us=us,
                second_us=two[name][0],
                spread=max(spread, two[name][1]),
            )
            for name, (us, spread) in one.items()
            if name in two
        ),
        only_first=tuple(name for name in one if name not in two),
        only_second=tuple(name for name in two if name not in one),
        facts={key: (facts_one[key], facts_two[key]) for key in facts_one},
        warnings=(_warnings(first), _warnings(second)),
    )


def setting_of(entry: Content) -> str:
    """Return the engine, batch, threads and samples of an entry: "bnnkit, batch 1, threads 1"."""
    _, _, setting = str(entry["run_name"]).partition("/")
    return setting.replace("/", ", ").replace(":", " ")


def board_text(context: Content) -> str:
    """Return the board and its clusters in words; the name of the CPU of older files."""
    board = context.get("board")
    if not board:
        return str(context["cpu_model"])
    cores = " + ".join(f"{len(c['cpus'])} x {c['core']}" for c in board["clusters"])
    return f"{board['model']}, {cores}" if board["model"] else cores


def _medians(content: Content) -> dict[str, tuple[float, float]]:
    found = {}
    for entry in content["benchmarks"]:
        if entry.get("aggregate_name") == "median":
            us = float(entry["real_time"])
            if not us > 0:
                raise ValueError(f"a positive latency: {us}")
            found[setting_of(entry)] = us, float(entry.get("spread", 0.0))
    return found


def machine_facts(content: Content) -> dict[str, str]:
    """Return what a stored benchmark says of its model and machine, in words."""
    context = content["context"]
    versions = context.get("versions", {})
    return {
        "model": str(context.get("model", "")),
        "board": board_text(context),
        "CPUs used": ", ".join(map(str, context.get("cpus", []))),
        "governor": ", ".join(_governors(context)),
        "clock at start and end": " and ".join(_clocks(context)),
        "temperature at start and end": " and ".join(_temperatures(context)),
        "features of the CPU": ", ".join(map(str, context.get("cpu_features", []))),
        "system": str(context.get("system", "")),
        "Python": str(context.get("python", "")),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "date": str(context.get("date", "")),
    }


def _governors(context: Content) -> Iterator[str]:
    clusters = (context.get("board") or {}).get("clusters", [])
    names = [c["governor"] for c in clusters] if clusters else [context.get("cpu_governor")]
    yield from dict.fromkeys(str(name) for name in names if name)


def _clocks(context: Content) -> Iterator[str]:
    for time in ("start", "end"):
        mhz = [int(value) for value in context.get(time, {}).get("mhz", {}).values()]
        if mhz:
            yield clock_range(mhz)


def _temperatures(context: Content) -> Iterator[str]:
    for time in ("start", "end"):
        celsius = [float(value) for value in context.get(time, {}).get("celsius", {}).values()]
        if celsius:
            yield f"{max(celsius):.0f} °C"


def _warnings(content: Content) -> tuple[str, ...]:
    return tuple(map(str, content["context"].get("warnings", [])))
