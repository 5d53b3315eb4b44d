"""The board that a benchmark runs on: its name, the cores of its clusters, their clocks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Final

from bnnkit.bench.arm_parts import part_name
from bnnkit.bench.system_files import ROOT, cpu_list, cpuinfo, read_number, read_text

PERFORMANCE: Final = "performance"
"""The governor that keeps the highest clock."""
_CPUS: Final = Path("sys/devices/system/cpu")
_NAMES: Final = (
    "proc/device-tree/model",
    "sys/firmware/devicetree/base/model",
    "sys/class/dmi/id/product_name",
)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """CPUs with the same core, range of clocks and governor.

    Attributes:
        core: The name of the core, such as "Cortex-A72".
        cpus: The numbers of the CPUs.
        min_mhz: The lowest clock of the hardware in MHz; None if it is unknown.
        max_mhz: The highest clock of the hardware in MHz; None if it is unknown.
        limit_mhz: The highest clock that the system allows at present in MHz, which heat, a power
            mode or a user may lower; None if it is unknown.
        governor: What chooses the clock; None if it is unknown.
    """

    core: str
    cpus: tuple[int, ...]
    min_mhz: int | None = None
    max_mhz: int | None = None
    limit_mhz: int | None = None
    governor: str | None = None

    @property
    def scales(self) -> bool:
        """Whether the clock follows the load, so that short runs see a lower clock."""
        return self.governor is not None and self.governor != PERFORMANCE

    def __str__(self) -> str:
        clock = "" if self.max_mhz is None else f" up to {self.max_mhz} MHz"
        return f"{len(self.cpus)} x {self.core}{clock}"


@dataclass(frozen=True, kw_only=True)
class Board:
    """A machine.

    Attributes:
        model: The name of the board, such as "Raspberry Pi 4 Model B Rev 1.5"; None if the system
            does not know it.
        clusters: The clusters, in order of their first CPU.
    """

    model: str | None
    clusters: tuple[Cluster, ...]

    def __str__(self) -> str:
        cores = " + ".join(map(str, self.clusters))
        return f"{self.model}, {cores}" if self.model else cores


def read_board(root: Path = ROOT) -> Board:
    """Read what the system says of the board.

    Args:
        root: The folder that holds `proc` and `sys`.
    """
    blocks = list(cpuinfo(root))
    cores = dict(_cores(root, blocks))
    alike = sorted((_cluster(root, cpu, core) for cpu, core in cores.items()), key=_kind)
    clusters = [_merged(group) for _, group in groupby(alike, key=_kind)]
    return Board(
        model=_model(root, blocks), clusters=tuple(sorted(clusters, key=lambda c: c.cpus))
    )


def _model(root: Path, blocks: list[dict[str, str]]) -> str | None:
    for name in _NAMES:
        if text := read_text(root / name):
            return text
    last = blocks[-1] if blocks else {}
    return last.get("Model") or last.get("Hardware")


def _cores(root: Path, blocks: list[dict[str, str]]) -> Iterator[tuple[int, str]]:
    """Return the name of the core of each CPU that is switched on."""
    for block in blocks:
        number = block.get("processor", "")
        if number.isdecimal():
            yield int(number), _core(root, int(number), block)


def _core(root: Path, cpu: int, block: dict[str, str]) -> str:
    """Name a core by its block, or by the register that newer systems show."""
    try:
        return part_name(int(block["CPU implementer"], 16), int(block["CPU part"], 16))
    except (KeyError, ValueError):
        pass
    midr = read_number(root / _CPUS / f"cpu{cpu}/regs/identification/midr_el1", 16)
    if midr is not None:
        return part_name(midr >> 24 & 0xFF, midr >> 4 & 0xFFF)
    return block.get("model name") or "unknown core"


def _cluster(root: Path, cpu: int, core: str) -> Cluster:
    """Describe one CPU as a cluster of its own."""
    clock = root / _CPUS / f"cpu{cpu}/cpufreq"
    if not clock.is_dir():
        clock = _policy(root, cpu) or clock
    return Cluster(
        core=core,
        cpus=(cpu,),
        min_mhz=_mhz(clock / "cpuinfo_min_freq"),
        max_mhz=_mhz(clock / "cpuinfo_max_freq"),
        limit_mhz=_mhz(clock / "scaling_max_freq"),
        governor=read_text(clock / "scaling_governor"),
    )


def _policy(root: Path, cpu: int) -> Path | None:
    """Return the folder of the clock that a CPU shares with others."""
    for policy in sorted((root / _CPUS / "cpufreq").glob("policy*")):
        related = read_text(policy / "related_cpus") or ""
        try:
            if cpu in cpu_list(related):
                return policy
        except ValueError:
            continue
    return None


def _kind(cluster: Cluster) -> tuple[str, ...]:
    numbers = (cluster.min_mhz, cluster.max_mhz, cluster.limit_mhz, cluster.governor)
    return cluster.core, *map(str, numbers)


def _merged(alike: Iterable[Cluster]) -> Cluster:
    first, *others = alike
    cpus = sorted(cpu for cluster in (first, *others) for cpu in cluster.cpus)
    return replace(first, cpus=tuple(cpus))


def _mhz(path: Path) -> int | None:
    khz = read_number(path)
    return None if khz is None else round(khz / 1000)
