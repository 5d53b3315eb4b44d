"""How long engines take for an artifact, measured so that the moods of the machine hit all alike.

The engines take turns: in every round each runs for some tens of milliseconds, in an order that
rotates. So a ratio of two engines is taken within each round, and its spread over the rounds says
how far to trust it.

Where samples of the noise are asked for, engines that can draw them average so many, and the
others run their one pass: what an ensemble costs beside a network that has none.
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
from bnnkit.bench.baselines import BENCHMARKED, open_benchmarked
from bnnkit.engines.engine import Engine, SamplingEngine
from bnnkit.errors import BnnkitError, UsageError

Array = NDArray[Any]
Job = Callable[[], object]

DETERMINISTIC = EnsembleConfig()
WARM_UP_S = 0.3
BLOCK_S = 0.03
"""How long an engine runs in one round."""
MIN_ROUNDS = 5
MIN_WARM_UP_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The times of one engine.

    Attributes:
        engine: Its name.
        version: Of its package.
        batch: Images in a run.
        threads: Given to the engine.
        samples: Averaged in a run; 0 is one deterministic pass.
        wall_us: Of each run, microseconds, (rounds, runs).
        cpu_us: Of a run, of all threads together, the mean in each round, (rounds,).
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
        """Microseconds of the median run."""
        return self.percentile_us(50)

    def percentile_us(self, percent: float) -> float:
        """Microseconds that so many percent of the runs do not exceed."""
        return float(np.percentile(self.wall_us, percent))


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times as long another engine takes.

    Attributes:
        median: Over the rounds, of the ratio of the two medians in a round.
        low: Its 10th percentile over the rounds.
        high: Its 90th percentile.
        least: Of the fastest runs. Other work on the machine interrupts long runs in every round
            and short ones seldom, which flatters the faster engine in all of the above.
    """

    median: float
    low: float
    high: float
    least: float


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What was measured.

    Attributes:
        measurements: Those of one batch size and number of threads follow each other and were made
            in the same rounds.
        left_out: Engines that could not be measured, and why.
    """

    measurements: tuple[Measurement, ...]
    left_out: dict[str, str]


def rounds_together(measured: Benchmark) -> Iterator[list[Measurement]]:
    """The measurements of each batch size and number of threads; their rounds can be compared."""
    for _, group in groupby(measured.measurements, key=lambda m: (m.batch, m.threads)):
        yield list(group)


def ratio(other: Measurement, first: Measurement) -> Ratio:
    """How many times as long `other` takes as `first`, of the same rounds."""
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
        engines: Out of `BENCHMARKED`.
        threads: Numbers of threads.
        batches: Numbers of images in a run.
        seconds: For each engine, batch size and number of threads, warm-up aside.
        config: The ensemble that engines with samples compute in each run.

    Raises:
        UsageError: An engine is unknown, a number is not positive, no engine can be measured, or
            samples are asked of a deterministic file, or as many as images need.
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
            images = random_images(artifact, batch)
            able = [e for e in opened if _can_run(e, images, config, left_out)]
            pairs = [(engine, n_threads) for engine in able]
            measurements += interleave(pairs, images, seconds, config) if pairs else []
    if not measurements:
        raise UsageError(
            "no engine can be measured: " + "; ".join(f"{n}: {why}" for n, why in left_out.items())
        )
    return Benchmark(measurements=tuple(measurements), left_out=left_out)


def random_images(artifact: Artifact, n: int, seed: int = 0) -> Array:
    """Inputs that an artifact takes, (N, *input_shape): any bytes, or standard normal numbers."""
    graph, rng = artifact.graph, np.random.default_rng(seed)
    shape = (n, *graph.input_shape)
    if graph.input_dtype.kind in "iu":
        limits = np.iinfo(graph.input_dtype)
        return rng.integers(limits.min, limits.max, shape, graph.input_dtype, endpoint=True)
    return rng.standard_normal(shape).astype(graph.input_dtype)


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
    engine: Engine, images: Array, config: EnsembleConfig, left_out: dict[str, str]
) -> bool:
    """Whether an engine takes a batch of images: a file may fix another."""
    try:
        engine.check(images)
        _job(engine, images, config)[0]()
    except BnnkitError as error:
        left_out[engine.name] = str(error)
        return False
    return True


def interleave(
    engines: Sequence[tuple[Engine, int]],
    images: Array,
    seconds: float,
    config: EnsembleConfig = DETERMINISTIC,
) -> list[Measurement]:
    """Measure engines in the same rounds.

    Args:
        engines: Each with the number of threads that it was opened with.
        images: (N, *input_shape), of the input's dtype, which all engines take; all of them in a
            run.
        seconds: For each engine, warm-up aside.
        config: As in `benchmark`.
    """
    jobs = [_job(engine, images, config) for engine, _ in engines]
    runs = [max(1, round(BLOCK_S / _warm_up(job))) for job, _ in jobs]
    wall: list[list[Array]] = [[] for _ in engines]
    cpu: list[list[float]] = [[] for _ in engines]
    end = time.monotonic() + seconds * len(engines)
    n_rounds = 0
    while n_rounds < MIN_ROUNDS or time.monotonic() < end:
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


def _job(engine: Engine, images: Array, config: EnsembleConfig) -> tuple[Job, int]:
    """What is timed, and how many samples it averages."""
    samples = config.samples if isinstance(engine, SamplingEngine) else 0
    if samples and samples != "auto":
        return lambda: engine.ensemble(images, config), samples
    return lambda: engine.run(images), 0


def _warm_up(job: Job) -> float:
    """Compile, allocate, fill caches; seconds of the fastest run."""
    start, fastest, n_runs = time.perf_counter(), float("inf"), 0
    while n_runs < MIN_WARM_UP_RUNS or time.perf_counter() - start < WARM_UP_S:
        before = time.perf_counter()
        job()
        fastest = min(fastest, time.perf_counter() - before)
        n_runs += 1
    return fastest


def _block(job: Job, n_runs: int) -> tuple[Array, float]:
    """Microseconds of each run, and the processor's of a run on average."""
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
