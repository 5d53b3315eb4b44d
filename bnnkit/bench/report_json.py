"""A benchmark in the JSON format of google-benchmark, so that its tools (compare.py) read it.

Each round of an engine is a repetition. The aggregates are over single runs, because a percentile
of round means says little. bnnkit adds the keys `ratios`, `left_out`, `profile` and `float32_us`,
`samples` in each entry, `median_time` in each round, `spread` in each aggregate, and the keys of
`Surroundings.to_json` in the context.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.bench.benchmark import Benchmark, Measurement, ratio, rounds_together
from bnnkit.bench.machine import describe_machine
from bnnkit.bench.step_times import StepTime
from bnnkit.bench.surroundings import Surroundings

_AGGREGATES: dict[str, Callable[[NDArray[np.float64]], Any]] = {
    "mean": np.mean,
    "median": np.median,
    "stddev": np.std,
    "p90": lambda times: np.percentile(times, 90),
    "p99": lambda times: np.percentile(times, 99),
    "min": np.min,
}


def to_json(
    measured: Benchmark,
    *,
    model: str,
    profile: Sequence[StepTime] = (),
    float32_us: Mapping[str, float] | None = None,
    surroundings: Surroundings | None = None,
) -> dict[str, Any]:
    """Convert a benchmark to an object that JSON can hold.

    Args:
        measured: The benchmark.
        model: The name of the model file.
        profile: The times of the runtime's steps, if they were measured.
        float32_us: The times of the float32 twins of binary layers, if they were measured.
        surroundings: The machine during the benchmark, if it was observed.
    """
    entries: list[dict[str, Any]] = []
    for index, measurement in enumerate(measured.measurements):
        entries += _entries(measurement, model, index)
    return {
        "context": {
            **describe_machine(),
            "model": model,
            **({} if surroundings is None else surroundings.to_json()),
        },
        "benchmarks": entries,
        "ratios": list(_ratios(measured)),
        "left_out": measured.left_out,
        "profile": [asdict(step) for step in profile],
        **({"float32_us": dict(float32_us)} if float32_us else {}),
    }


def _entries(measurement: Measurement, model: str, index: int) -> Iterator[dict[str, Any]]:
    n_rounds, n_runs = measurement.wall_us.shape
    name = f"{model}/{measurement.engine}/batch:{measurement.batch}/threads:{measurement.threads}"
    if measurement.samples:
        name += f"/samples:{measurement.samples}"
    shared = {
        "family_index": index,
        "per_family_instance_index": 0,
        "run_name": name,
        "repetitions": n_rounds,
        "threads": measurement.threads,
        "samples": measurement.samples,
        "time_unit": "us",
    }
    for number in range(n_rounds):
        wall, cpu = float(measurement.wall_us[number].mean()), float(measurement.cpu_us[number])
        yield {
            **shared,
            "name": name,
            "run_type": "iteration",
            "repetition_index": number,
            "iterations": n_runs,
            "real_time": wall,
            "median_time": float(np.median(measurement.wall_us[number])),
            "cpu_time": cpu,
            "items_per_second": measurement.batch / wall * 1e6,
        }
    for aggregate, function in _AGGREGATES.items():
        yield {
            **shared,
            "name": f"{name}_{aggregate}",
            "run_type": "aggregate",
            "aggregate_name": aggregate,
            "aggregate_unit": "time",
            "iterations": n_rounds,
            "real_time": float(function(measurement.wall_us)),
            "cpu_time": float(function(measurement.cpu_us)),
            "spread": measurement.spread,
        }


def _ratios(measured: Benchmark) -> Iterator[dict[str, Any]]:
    for first, *others in rounds_together(measured):
        for other in others:
            yield {
                "engine": first.engine,
                "against": other.engine,
                "batch": first.batch,
                "threads": first.threads,
                "samples": [first.samples, other.samples],
                **asdict(ratio(other, first)),
            }
