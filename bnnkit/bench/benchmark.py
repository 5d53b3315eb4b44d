"""Latency of an artifact in several engines, interleaved so that noise affects all equally.

In every round each engine runs for some tens of milliseconds, in an order that rotates. A ratio of
two engines is computed within each round, and its spread over the rounds shows how reliable it is.

If samples of the noise are requested, engines with samples average that many, and the others run
one deterministic pass. This shows what an ensemble costs beside a single network.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.artifact.format.graph import Graph, Input
from bnnkit.artifact.format.input_batch import Batch, InputBatch, feeds, only_input
from bnnkit.bench.baselines import BENCHMARKED, open_benchmarked
from bnnkit.engines.engine import Engine, SamplingEngine
from bnnkit.errors import BnnkitError, UsageError

Array = NDArray[Any]
Job = Callable[[], object]

DETERMINISTIC = EnsembleConfig()
WARM_UP_S = 0.3
BLOCK_S = 0.03
"""How long an engine runs in one round, in seconds."""
MIN_ROUNDS = 5
SMALL_SPREAD = 0.05
"""The spread of the rounds below which a measurement ends after the requested time."""
PATIENCE = 3.0
"""How many times the requested time a measurement may take until its spread is small."""
MIN_WARM_UP_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The times of one engine.

    Attributes:
        engine: The name of the engine.
        version: The version of its package.
        batch: The number of images in a run.
        threads: The number of threads of the engine.
        samples: The number of samples averaged in a run; 0 is one deterministic pass.
        wall_us: The wall time of each run in microseconds, (rounds, runs).
        cpu_us: The CPU time of a run in microseconds, summed over all threads, the mean of each
            round, (rounds,).
    """

    engine: str
    version: str
    batch: int
    threads: int
    samples: int = 0
    wall_us: NDArray[np.float64]
    cpu_us: NDArray[np.float64]

    @property
    def median_us(self) -> float:
        """The median wall time of a run, in microseconds."""
        return self.percentile_us(50)

    def percentile_us(self, percent: float) -> float:
        """Return a percentile of the wall times, in microseconds."""
        return float(np.percentile(self.wall_us, percent))

    @property
    def spread(self) -> float:
        """How much the rounds differ: the middle half of their medians, divided by the median."""
        return _spread(np.median(self.wall_us, axis=1))


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """The latency of another engine divided by that of the first.

    Attributes:
        median: The ratio of the two medians in a round, as the median over the rounds.
        low: The 10th percentile of the ratio over the rounds.
        high: The 90th percentile.
        least: The ratio of the fastest runs. Other work on the machine interrupts long runs in
            every round but short runs seldom, which favours the faster engine in the other three.
    """

    median: float
    low: float
    high: float
    least: float


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """The measurements of all engines.

    Attributes:
        measurements: Measurements with the same batch size and number of threads are adjacent and
            were made in the same rounds.
        left_out: Why other engines could not be measured, by name.
    """

    measurements: tuple[Measurement, ...]
    left_out: dict[str, str]


def rounds_together(measured: Benchmark) -> Iterator[list[Measurement]]:
    """Group measurements with the same batch size and threads; their rounds can be compared."""
    for _, group in groupby(measured.measurements, key=lambda m: (m.batch, m.threads)):
        yield list(group)


def ratio(other: Measurement, first: Measurement) -> Ratio:
    """Return the latency of `other` divided by that of `first`, measured in the same rounds."""
    ratios = np.median(other.wall_us, axis=1) / np.median(first.wall_us, axis=1)
    low, median, high = np.percentile(ratios, (10, 50, 90))
    least = other.wall_us.min() / first.wall_us.min()
    return Ratio(median=float(median), low=float(low), high=float(high), least=float(least))


def benchmark(
    artifact: Artifact,
    *,
    engines: Sequence[str],
    threads: Sequence[int] = (1,),
    batches: Sequence[int] = (1,),
    seconds: float = 2.0,
    config: EnsembleConfig = DETERMINISTIC,
) -> Benchmark:
    """Measure engines on random inputs.

    Args:
        artifact: The artifact.
        engines: Names from `BENCHMARKED`.
        threads: The numbers of threads to measure.
        batches: The batch sizes to measure.
        seconds: The time for each engine, batch size and number of threads, without warm-up; up
            to `PATIENCE` times as long while the rounds differ by more than `SMALL_SPREAD`.
        config: The ensemble that engines with samples compute in each run.

    Raises:
        UsageError: If an engine is unknown, a number is not positive, no engine can be measured,
            samples are requested of a deterministic file, or their number is "auto".
    """
    _check(engines, [*threads, *batches, seconds])
    if config.samples != 0 and not artifact.is_stochastic:
        raise UsageError(f"the file is deterministic: expected 0 samples, got {config.samples}")
    if config.samples == "auto":
        raise UsageError("expected a number of samples, got 'auto': it depends on the images")
    measurements: list[Measurement] = []
    left_out: dict[str, str] = {}
    for n_threads in threads:
        open_one = partial(open_benchmarked, artifact=artifact, threads=n_threads)
        opened = _open(engines, open_one, left_out)
        for batch in batches if opened else ():
            images = random_inputs(artifact, batch)
            able = [e for e in opened if _can_run(e, images, config, left_out)]
            pairs = [(engine, n_threads) for engine in able]
            measurements += interleave(pairs, images, seconds, config) if pairs else []
    if not measurements:
        raise UsageError(
            "no engine can be measured: " + "; ".join(f"{n}: {why}" for n, why in left_out.items())
        )
    return Benchmark(measurements=tuple(measurements), left_out=left_out)


def random_images(artifact: Artifact, n: int, seed: int = 0) -> Array:
    """Return `random_inputs` of a network with one input.

    Raises:
        UnsupportedError: If the network has several.
    """
    found = random_inputs(artifact, n, seed)
    names = artifact.graph.input_names
    return feeds(names, found)[only_input(names, "this measurement")]


def random_inputs(artifact: Artifact, n: int, seed: int = 0) -> Batch:
    """Return random inputs (N, ...): uniform integers or standard normal numbers.

    Of a network with several inputs, those of int32 and int64 are indices: 0, or the rows of the
    constant that they choose from.
    """
    graph, rng = artifact.graph, np.random.default_rng(seed)
    arrays = {one.name: _random(one, graph, n, rng) for one in graph.inputs}
    return InputBatch(arrays) if len(arrays) > 1 else arrays[graph.input]


def _random(one: Input, graph: Graph, n: int, rng: np.random.Generator) -> Array:
    shape = (n, *one.shape)
    if one.dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if one.dtype.kind == "i" and len(graph.inputs) > 1:
        return rng.integers(0, _rows_to_choose_from(one.name, graph), shape, one.dtype)
    if one.dtype.kind in "iu":
        limits = np.iinfo(one.dtype)
        return rng.integers(limits.min, limits.max, shape, one.dtype, endpoint=True)
    return rng.standard_normal(shape).astype(one.dtype)


def _rows_to_choose_from(name: str, graph: Graph) -> int:
    """Return the smallest number of rows of the constants that an input indexes; else 1."""
    tables = [
        graph.constants[node.inputs[0]].shape[node.attributes.get("axis", 0)]
        for node in graph.readers(name)
        if node.kind == "Gather" and node.inputs[1] == name and node.inputs[0] in graph.constants
    ]
    return min(tables, default=1)


def _check(engines: Sequence[str], numbers: Sequence[float]) -> None:
    for name in engines:
        if name not in BENCHMARKED:
            raise UsageError(f"expected engines out of {', '.join(BENCHMARKED)}, got {name!r}")
    if not engines or not all(0 < number < float("inf") for number in numbers):
        raise UsageError(
            "expected an engine or more, and positive, finite numbers of threads, images and"
            " seconds"
        )


def _open(
    names: Sequence[str], open_one: Callable[[str], Engine], left_out: dict[str, str]
) -> list[Engine]:
    opened = []
    for name in names:
        try:
            opened.append(open_one(name))
        except BnnkitError as error:
            left_out[name] = str(error)
    return opened


def _can_run(
    engine: Engine, images: Batch, config: EnsembleConfig, left_out: dict[str, str]
) -> bool:
    """Return whether an engine accepts the batch; a file may fix another batch size."""
    try:
        engine.accepted(images)
        _job(engine, images, config)[0]()
    except BnnkitError as error:
        left_out[engine.name] = str(error)
        return False
    return True


def interleave(
    engines: Sequence[tuple[Engine, int]],
    images: Batch,
    seconds: float,
    config: EnsembleConfig = DETERMINISTIC,
) -> list[Measurement]:
    """Measure engines in the same rounds.

    Args:
        engines: The engines, each with the number of threads that it was opened with.
        images: The inputs of every run, (N, ...).
        seconds: The time for each engine, as in `benchmark`.
        config: As in `benchmark`.
    """
    jobs = [_job(engine, images, config) for engine, _ in engines]
    runs = [max(1, round(BLOCK_S / _warm_up(job))) for job, _ in jobs]
    wall: list[list[Array]] = [[] for _ in engines]
    cpu: list[list[float]] = [[] for _ in engines]
    start, whole = time.monotonic(), seconds * len(engines)
    n_rounds = 0
    while n_rounds < MIN_ROUNDS or _goes_on(time.monotonic() - start, whole, wall):
        for turn in range(len(engines)):
            index = (turn + n_rounds) % len(engines)
            wall_us, cpu_us = _block(jobs[index][0], runs[index])
            wall[index].append(wall_us)
            cpu[index].append(cpu_us)
        n_rounds += 1
    return [
        Measurement(
            engine=engine.name,
            version=engine.version,
            batch=len(images),
            threads=threads,
            samples=jobs[index][1],
            wall_us=np.stack(wall[index]),
            cpu_us=np.array(cpu[index]),
        )
        for index, (engine, threads) in enumerate(engines)
    ]


def _goes_on(passed: float, seconds: float, wall: Sequence[Sequence[Array]]) -> bool:
    """Return whether another round is worth it: the time is not over, or the rounds differ."""
    if passed < seconds:
        return True
    spreads = (_spread(np.array([np.median(times) for times in rounds])) for rounds in wall)
    return passed < PATIENCE * seconds and max(spreads) > SMALL_SPREAD


def _spread(medians: Array) -> float:
    low, middle, high = np.percentile(medians, (25, 50, 75))
    return float((high - low) / middle)


def _job(engine: Engine, images: Batch, config: EnsembleConfig) -> tuple[Job, int]:
    """Return the function to time, and the number of samples that it averages."""
    samples = config.samples if isinstance(engine, SamplingEngine) else 0
    if samples and samples != "auto":
        return lambda: engine.ensemble(images, config), samples
    return lambda: engine.run(images), 0


def _warm_up(job: Job) -> float:
    """Run until everything is compiled and allocated; return the fastest run in seconds."""
    start, fastest, n_runs = time.perf_counter(), float("inf"), 0
    while n_runs < MIN_WARM_UP_RUNS or time.perf_counter() - start < WARM_UP_S:
        before = time.perf_counter()
        job()
        fastest = min(fastest, time.perf_counter() - before)
        n_runs += 1
    return fastest


def _block(job: Job, n_runs: int) -> tuple[Array, float]:
    """Return the wall time of each run and the mean CPU time of a run, in microseconds."""
    stamps = np.empty(n_runs + 1, np.int64)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        cpu = time.process_time_ns()
        stamps[0] = time.perf_counter_ns()
        for index in range(1, n_runs + 1):
            job()
            stamps[index] = time.perf_counter_ns()
        cpu = time.process_time_ns() - cpu
    finally:
        if was_enabled:
            gc.enable()
    return np.diff(stamps) / 1e3, cpu / n_runs / 1e3
