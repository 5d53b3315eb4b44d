"""A benchmark as tables."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from bnnkit.bench.benchmark import (
    SMALL_SPREAD,
    Benchmark,
    Measurement,
    ratio,
    rounds_together,
)
from bnnkit.bench.comparison import Comparison
from bnnkit.bench.conditions import Conditions, clock_range
from bnnkit.bench.step_times import StepTime
from bnnkit.bench.surroundings import Surroundings
from bnnkit.cli.console import print_table, write

_NO_SAMPLES = "one pass"
_TIMES = ("median", "p90", "p99", "min", "mean")


def print_benchmark(measured: Benchmark, surroundings: Surroundings) -> None:
    """Print the latencies, and how the other engines compare with the first.

    Args:
        measured: The benchmark.
        surroundings: The machine during the benchmark.
    """
    settings = [_settings(one) for one in measured.measurements]
    varies = {name for name in settings[0] if len({each[name] for each in settings}) > 1}
    same = ", ".join(
        value if value == _NO_SAMPLES else f"{name} {value}"
        for name, value in settings[0].items()
        if name not in varies
    )
    print_table(
        f"latency of a run in microseconds, on {surroundings.board}{'; ' if same else ''}{same}",
        (
            "engine",
            *(name for name in settings[0] if name in varies),
            *_TIMES,
            f"speed-up of {measured.measurements[0].engine}",
        ),
        list(_rows(measured, varies)),
        left=("engine",),
    )
    for line in (
        *_states(surroundings.start, surroundings.end),
        *surroundings.warnings(),
        *_unsteady(measured),
    ):
        write(line)
    for name, reason in measured.left_out.items():
        write(f"left out: {name}: {reason}")


def _states(start: Conditions, end: Conditions) -> Iterator[str]:
    """Say how clock and temperature changed."""
    if start.mhz and end.mhz:
        before, after = clock_range(start.mhz.values()), clock_range(end.mhz.values())
        yield f"clock: {before} at the start, {after} at the end"
    if start.hottest is not None and end.hottest is not None:
        yield f"temperature: {start.hottest:.0f} C at the start, {end.hottest:.0f} C at the end"


def _unsteady(measured: Benchmark) -> Iterator[str]:
    spreads = {m.engine: m.spread for m in measured.measurements if m.spread > SMALL_SPREAD}
    if spreads:
        found = ", ".join(f"{engine} {spread:.0%}" for engine, spread in spreads.items())
        yield f"the rounds still differ (the middle half of them, of the median): {found}"


def print_comparison(comparison: Comparison, files: Sequence[Path]) -> None:
    """Print two stored benchmarks side by side.

    Args:
        comparison: The benchmarks.
        files: Their files.
    """
    first, second = (file.name for file in files)
    print_table(
        "median latency in microseconds",
        ("setting", first, second, f"speed-up of {second}", "rounds differ by"),
        [
            (
                pair.name,
                _microseconds(pair.first_us),
                _microseconds(pair.second_us),
                f"{pair.speed_up:.2f}",
                f"{pair.spread:.0%}",
            )
            for pair in comparison.pairs
        ],
        left=("setting",),
    )
    print_table(
        "machines",
        ("", first, second),
        [(key, *texts) for key, texts in comparison.facts.items() if any(texts)],
        left=("", first, second),
    )
    for name, only in ((first, comparison.only_first), (second, comparison.only_second)):
        for setting in only:
            write(f"only in {name}: {setting}")
    for name, warnings in zip((first, second), comparison.warnings, strict=True):
        for warning in warnings:
            write(f"{name}: {warning}")


def print_step_times(
    steps: Sequence[StepTime],
    threads: int,
    batch: int,
    measured: Benchmark,
    float32_us: Mapping[str, float] | None = None,
) -> None:
    """Print how long each layer takes in bnnkit's runtime.

    Args:
        steps: The times of the steps, in order.
        threads: The number of threads.
        batch: The number of images.
        measured: The benchmark, with which the sum is compared.
        float32_us: The times of the float32 twins of binary layers, by name, if they were
            measured.
    """
    float32_us = float32_us or {}
    layers = [list(group) for _, group in groupby(steps, key=lambda step: step.name)]
    twin = ("float32 us",) if float32_us else ()
    print_table(
        f"layers in bnnkit's runtime; batch {batch}, threads {threads}",
        ("layer", "steps", "median us", "share", "GMAC/s", "of the ceiling", *twin),
        [(*_layer_row(layer), *_twin(layer, float32_us)) for layer in layers],
        left=("layer", "steps"),
    )
    if float32_us:
        write(_where_it_pays(layers, float32_us))
    for line in _sums(steps, _run_us(measured, threads, batch)):
        write(line)


def _layer_row(steps: Sequence[StepTime]) -> tuple[str, ...]:
    """Sum the steps of one layer: a convolution has one for each group."""
    kinds = [f"{n} x {kind}" if n > 1 else kind for kind, n in _counts(steps)]
    us, share = sum(step.median_us for step in steps), sum(step.share for step in steps)
    return steps[0].name, ", ".join(kinds), f"{us:,.1f}", f"{share:.1%}", *_speed(steps)


def _twin(layer: Sequence[StepTime], float32_us: Mapping[str, float]) -> tuple[str, ...]:
    """Return the cell of the float32 twin; none where twins were not measured."""
    us = float32_us.get(layer[0].name)
    return () if not float32_us else ("" if us is None else f"{us:,.1f}",)


def _where_it_pays(layers: Sequence[Sequence[StepTime]], float32_us: Mapping[str, float]) -> str:
    """Name the binary layers that are slower than their float32 twins."""
    times = {layer[0].name: sum(step.median_us for step in layer) for layer in layers}
    slower = [name for name, us in float32_us.items() if times.get(name, 0.0) >= us]
    twins = "float32 us is the same layer with float32 weights, alone in ONNX Runtime;"
    if not slower:
        return f"{twins} every binary layer is faster"
    return f"{twins} binarizing does not pay in {', '.join(slower)}"


def _counts(steps: Sequence[StepTime]) -> list[tuple[str, int]]:
    kinds = [step.step for step in steps]
    return [(kind, kinds.count(kind)) for kind in dict.fromkeys(kinds)]


def _speed(steps: Sequence[StepTime]) -> tuple[str, str]:
    """Return the rate of a layer's binary steps together, and its share of the peak rate."""
    binary = [step for step in steps if step.gmacs and step.of_ceiling]
    us = sum(step.median_us for step in binary)
    if not us:
        return "", ""
    gmacs = sum((step.gmacs or 0) * step.median_us for step in binary) / us
    share = sum((step.of_ceiling or 0) * step.median_us for step in binary) / us
    return f"{gmacs:,.0f}", f"{share:.0%}"


def _run_us(measured: Benchmark, threads: int, batch: int) -> float | None:
    """Return the time of bnnkit's deterministic run in the table; None if it is not there."""
    for one in measured.measurements:
        if (one.engine, one.threads, one.batch, one.samples) == ("bnnkit", threads, batch, 0):
            return one.median_us
    return None


def _sums(steps: Sequence[StepTime], run_us: float | None) -> Iterator[str]:
    """Compare the sum of the steps, a whole pass and a run, and say why they differ."""
    us, share = sum(step.median_us for step in steps), sum(step.share for step in steps)
    of_run = "" if run_us is None else f", a run in the table above: {run_us:,.1f} us"
    yield f"sum of the steps: {us:,.1f} us, a whole pass: {us / share:,.1f} us{of_run}"
    yield (
        "A step is timed alone, without its start (below 1 us it is noise). A pass starts all"
        " steps at once. A run is a pass with checks, buffers and copies of inputs and outputs."
        " Each is timed apart, so small differences are chance."
    )


def _settings(one: Measurement) -> dict[str, str]:
    return {
        "samples": str(one.samples) if one.samples else _NO_SAMPLES,
        "batch": str(one.batch),
        "threads": str(one.threads),
    }


def _rows(measured: Benchmark, shown: set[str]) -> Iterator[tuple[str, ...]]:
    for first, *others in rounds_together(measured):
        yield _row(first, shown, "")
        for other in others:
            found = ratio(other, first)
            spread = f"({found.low:.1f} to {found.high:.1f})"
            yield _row(other, shown, f"{found.median:.1f} {spread}")


def _row(measurement: Measurement, shown: set[str], comparison: str) -> tuple[str, ...]:
    times = (
        measurement.median_us,
        measurement.percentile_us(90),
        measurement.percentile_us(99),
        measurement.percentile_us(0),
        float(measurement.wall_us.mean()),
    )
    return (
        f"{measurement.engine} {measurement.version}",
        *(value for name, value in _settings(measurement).items() if name in shown),
        *map(_microseconds, times),
        comparison,
    )


def _microseconds(us: float) -> str:
    return f"{us:,.1f}" if us < 1000 else f"{us:,.0f}"
