"""How busy the machine is with other work, which makes all measured times longer."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUSY_SHARE: Final = 0.1
"""The share of the CPUs that other work may use before a benchmark warns."""
_PROC_STAT = Path("/proc/stat")
_WINDOW_S = 0.25
"""How long to look at the CPUs, in which this process sleeps."""
_IDLE, _WAITING = 3, 4
"""The columns of /proc/stat with time without work: idle, and idle while waiting for a disk."""


@dataclass(frozen=True, kw_only=True)
class OtherLoad:
    """The work of other processes on the CPUs that this process may use.

    Attributes:
        busy: The number of CPUs that others kept busy, a real number.
        cpus: The number of CPUs that this process may use.
    """

    busy: float
    cpus: int

    @property
    def is_high(self) -> bool:
        """Whether times measured now say little."""
        return self.busy > BUSY_SHARE * self.cpus


def measure_other_load() -> OtherLoad:
    """Measure how busy others keep the CPUs, while this process sleeps.

    Uses /proc/stat, and the load average of the last minute on systems without it.
    """
    cpus = usable_cpus()
    before = _busy_and_whole_time(cpus)
    if before is None:
        average = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        return OtherLoad(busy=min(average, len(cpus)), cpus=len(cpus))
    time.sleep(_WINDOW_S)
    after = _busy_and_whole_time(cpus) or before
    whole = after[1] - before[1]
    share = (after[0] - before[0]) / whole if whole > 0 else 0.0
    return OtherLoad(busy=share * len(cpus), cpus=len(cpus))


def usable_cpus() -> set[int]:
    """Return the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _busy_and_whole_time(cpus: set[int]) -> tuple[int, int] | None:
    """Return the time that some CPUs worked, and the whole time; None if they are unknown."""
    try:
        rows = [line.split() for line in _PROC_STAT.read_text().splitlines()]
    except OSError:
        return None
    wanted = {f"cpu{number}" for number in cpus}
    times = [list(map(int, row[1:])) for row in rows if row and row[0] in wanted]
    if not times:
        return None
    whole = sum(sum(row[:8]) for row in times)  # later columns, guests, are part of the first two
    return whole - sum(row[_IDLE] + row[_WAITING] for row in times), whole
