"""A benchmark as tables."""

from collections.abc import Iterator, Sequence

from bnnkit.bench.benchmark import Benchmark, Measurement, ratio, rounds_together
from bnnkit.bench.step_times import StepTime
from bnnkit.cli.console import print_table, write


def print_benchmark(measured: Benchmark) -> None:
    """Print the latencies, and how the other engines compare with the first."""
    times = ("median", "p90", "p99", "min", "mean")
    first = measured.measurements[0].engine
    print_table(
        "latency of a run, in microseconds",
        ("engine", "samples", "batch", "threads", *times, f"speed-up of {first}"),
        list(_rows(measured)),
        left=("engine",),
    )
    for name, reason in measured.left_out.items():
        write(f"left out: {name}: {reason}")


def print_step_times(steps: Sequence[StepTime], threads: int, batch: int) -> None:
    """Print how long each step of bnnkit's runtime takes."""
    print_table(
        f"steps of bnnkit's runtime, batch {batch}, threads {threads}",
        ("node", "step", "median us", "share", "GMAC/s", "of the ceiling"),
        [(s.name, s.step, f"{s.median_us:,.1f}", f"{s.share:.1%}", *_speed(s)) for s in steps],
        left=("node", "step"),
    )
    write(_sum_of_steps(steps))


def _sum_of_steps(steps: Sequence[StepTime]) -> str:
    """Compare the sum of the steps with the time of a whole pass."""
    us, share = sum(step.median_us for step in steps), sum(step.share for step in steps)
    rest = f"{1 - share:.1%} between steps" if share <= 1 else f"{share - 1:.1%} more"
    return (
        f"sum of the steps: {us:,.1f} us, a whole pass: {us / share:,.1f} us ({rest});"
        " times below 1 us are noise, because starting a step from Python takes as long and is"
        " subtracted"
    )


def _speed(step: StepTime) -> tuple[str, str]:
    if step.gmacs is None or step.of_ceiling is None:
        return "", ""
    return f"{step.gmacs:,.0f}", f"{step.of_ceiling:.0%}"


def _rows(measured: Benchmark) -> Iterator[tuple[str, ...]]:
    for first, *others in rounds_together(measured):
        yield _row(first, "")
        for other in others:
            found = ratio(other, first)
            spread = f"({found.low:.1f} to {found.high:.1f})"
            yield _row(other, f"{found.median:.1f} {spread}")


def _row(measurement: Measurement, comparison: str) -> tuple[str, ...]:
    times = (
        measurement.median_us,
        measurement.percentile_us(90),
        measurement.percentile_us(99),
        measurement.percentile_us(0),
        float(measurement.wall_us.mean()),
    )
    return (
        f"{measurement.engine} {measurement.version}",
        str(measurement.samples) if measurement.samples else "one pass",
        str(measurement.batch),
        str(measurement.threads),
        *(f"{microseconds:,.1f}" for microseconds in times),
        comparison,
    )
