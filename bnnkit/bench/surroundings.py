"""The machine around a benchmark: its board, the CPUs in use, other work, and throttling."""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from bnnkit.bench.board import Board, Cluster, read_board
from bnnkit.bench.conditions import Conditions, read_conditions, throttling
from bnnkit.bench.other_load import OtherLoad, measure_other_load, usable_cpus
from bnnkit.errors import UsageError

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a benchmark could not choose, but should say.

    Attributes:
        board: The machine.
        cpus: The CPUs that this process may use.
        load: The work of other processes before the benchmark.
        start: Clocks, temperatures and throttling at the start.
        end: The same at the end.
    """

    board: Board
    cpus: tuple[int, ...]
    load: OtherLoad
    start: Conditions
    end: Conditions

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        """The clusters that have a usable CPU."""
        return tuple(c for c in self.board.clusters if set(c.cpus) & set(self.cpus))

    @property
    def throttling(self) -> tuple[str, ...]:
        """How the processor was slowed down during the benchmark, in words."""
        return throttling(self.start, self.end)

    def warnings(self) -> Iterator[str]:
        """Say in sentences why the times may be too long, or may not repeat."""
        if self.load.is_high:
            yield (
                f"the machine is busy: other processes use {self.load.busy:.1f} of"
                f" {self.load.cpus} CPUs; these times are too long, and the speed-ups less"
                " certain; repeat it on an idle machine"
            )
        if self.throttling:
            yield f"the processor was throttled: {'; '.join(self.throttling)}; times are too long"
        for cluster in self.clusters:
            if cluster.scales:
                yield (
                    f"the governor {cluster.governor} changes the clock of {cluster}; choose"
                    " performance for times that repeat (cpupower frequency-set -g performance)"
                )
            if cluster.limit_mhz and cluster.limit_mhz < (cluster.max_mhz or 0):
                yield f"the system limits {cluster} to {cluster.limit_mhz} MHz"
        if len(self.clusters) > 1:
            names = " and ".join(map(str, self.clusters))
            yield f"threads may run on {names}; choose CPUs of one kind with --cpus"

    def to_json(self) -> dict[str, Any]:
        """Return an object that JSON can hold."""
        return {
            "board": asdict(self.board),
            "cpus": list(self.cpus),
            "cpus_busy_with_other_work": self.load.busy,
            "start": asdict(self.start),
            "end": asdict(self.end),
            "throttled": list(self.throttling),
            "warnings": list(self.warnings()),
        }


def surrounded(job: Callable[[], Result]) -> tuple[Result, Surroundings]:
    """Run a benchmark and describe the machine before and after it."""
    cpus = tuple(sorted(usable_cpus()))
    load = measure_other_load()
    board, start = read_board(), read_conditions(cpus=cpus)
    result = job()
    end = read_conditions(cpus=cpus)
    return result, Surroundings(board=board, cpus=cpus, load=load, start=start, end=end)


@contextmanager
def pinned(cpus: Collection[int] | None) -> Iterator[None]:
    """Restrict this thread, with the threads that it starts meanwhile, to some CPUs.

    Args:
        cpus: The numbers of the CPUs; None for all that are usable.

    Raises:
        UsageError: If a CPU is not one that this process may use, or the system cannot pin.
    """
    if cpus is None:
        yield
        return
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError("this system cannot restrict a process to CPUs; leave out --cpus")
    usable = usable_cpus()
    if missing := sorted(set(cpus) - usable):
        raise UsageError(
            f"expected CPUs out of {', '.join(map(str, sorted(usable)))}, got"
            f" {', '.join(map(str, missing))}"
        )
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)
