"""What changes on a board while a benchmark runs: clocks, temperature, and throttling."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bnnkit.bench.system_files import ROOT, cpuinfo, read_number, read_text

_CPUS: Final = Path("sys/devices/system/cpu")
_THERMAL: Final = Path("sys/class/thermal")
_RASPBERRY: Final = (
    "sys/devices/platform/soc/soc:firmware/get_throttled",
    "sys/devices/platform/soc@*/*firmware/get_throttled",
    "sys/devices/platform/*firmware*/get_throttled",
)
_NOW: Final = {
    0: "the supply voltage is low",
    1: "the clock is capped",
    2: "the processor is throttled",
    3: "the soft limit of temperature is reached",
}
"""Bits of the Raspberry Pi's `get_throttled` that hold now; 16 bits higher: since the start of
the system. From the documentation of vcgencmd."""
_SINCE_START: Final = 16
_COOLS_CPU: Final = ("cpufreq", "cpu-", "cpu_")
_CELSIUS: Final = range(-40, 151)
"""What a sensor of temperature can mean; others report volts or nothing."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The state of a board at one time.

    Attributes:
        mhz: The clock of each CPU in MHz.
        celsius: The temperature of each sensor, by name.
        throttled: Why the processor is slowed down now, in words; empty if it is not.
        flags: The Raspberry Pi's flags of throttling; None elsewhere.
        events: Counters of throttling since the start of the system, by name.
    """

    mhz: dict[int, int] = field(default_factory=dict)
    celsius: dict[str, float] = field(default_factory=dict)
    throttled: tuple[str, ...] = ()
    flags: int | None = None
    events: dict[str, int] = field(default_factory=dict)

    @property
    def hottest(self) -> float | None:
        """The highest temperature in degrees Celsius; None without a sensor."""
        return max(self.celsius.values(), default=None)


def read_conditions(root: Path = ROOT, cpus: Sequence[int] = ()) -> Conditions:
    """Read the state of the board.

    Args:
        root: The folder that holds `proc` and `sys`.
        cpus: The CPUs whose clocks are of interest; empty for all.
    """
    flags = _flags(root)
    mhz = dict(_clocks(root))
    return Conditions(
        mhz={cpu: mhz[cpu] for cpu in sorted(mhz) if not cpus or cpu in cpus},
        celsius=dict(_temperatures(root)),
        throttled=(*_words(flags, 0), *_cooling(root)),
        flags=flags,
        events=dict(_events(root)),
    )


def throttling(start: Conditions, end: Conditions) -> tuple[str, ...]:
    """Say in words how the processor was slowed down at the start, the end or in between.

    A flag since the start of the system counts only if it was not set at the start: it can be days
    old.
    """
    new = (end.flags or 0) & ~(start.flags or 0)
    counted = [
        f"{name} rose by {end.events[name] - count}"
        for name, count in start.events.items()
        if end.events.get(name, 0) > count
    ]
    found = [*start.throttled, *end.throttled, *_words(new, _SINCE_START), *counted]
    return tuple(dict.fromkeys(found))


def clock_range(mhz: Collection[int]) -> str:
    """Return the clocks of one or more CPUs in words: "2400 MHz" or "1500 to 2400 MHz"."""
    low, high = min(mhz), max(mhz)
    return f"{low} MHz" if low == high else f"{low} to {high} MHz"


def _clocks(root: Path) -> Iterator[tuple[int, int]]:
    """Read the clock of each CPU: its driver's, or what /proc/cpuinfo shows on x86."""
    for block in cpuinfo(root):
        number = block.get("processor", "")
        if not number.isdecimal():
            continue
        khz = read_number(root / _CPUS / f"cpu{number}/cpufreq/scaling_cur_freq")
        if khz is not None:
            yield int(number), round(khz / 1000)
        elif re.fullmatch(r"\d+(\.\d+)?", block.get("cpu MHz", "")):
            yield int(number), round(float(block["cpu MHz"]))


def _temperatures(root: Path) -> Iterator[tuple[str, float]]:
    zones = sorted((root / _THERMAL).glob("thermal_zone*"))
    names = [read_text(zone / "type") or zone.name for zone in zones]
    for zone, name in zip(zones, names, strict=True):
        milli = read_number(zone / "temp")
        if milli is not None and milli // 1000 in _CELSIUS and milli != 0:
            yield name if names.count(name) == 1 else f"{name} ({zone.name})", milli / 1000


def _flags(root: Path) -> int | None:
    for pattern in _RASPBERRY:
        for path in sorted(root.glob(pattern)):
            flags = read_number(path, 16)
            if flags is not None:
                return flags
    return None


def _words(flags: int | None, shift: int) -> Iterator[str]:
    for bit, words in _NOW.items():
        if (flags or 0) >> (bit + shift) & 1:
            yield words if shift == 0 else f"at times during the benchmark, {words}"


def _cooling(root: Path) -> Iterator[str]:
    """Name the devices by which the system lowers the clock of CPUs now."""
    for device in sorted((root / _THERMAL).glob("cooling_device*")):
        kind, state = read_text(device / "type") or "", read_number(device / "cur_state")
        if state and any(word in kind for word in _COOLS_CPU):
            steps = read_number(device / "max_state")
            yield f"{kind} lowers the clock by {state} of {steps} steps"


def _events(root: Path) -> Iterator[tuple[str, int]]:
    """Read counters: of x86 (core and package), and of the Jetson's over-current alarms."""
    for path in sorted((root / _CPUS).glob("cpu*/thermal_throttle/*_throttle_count")):
        count = read_number(path)
        if count is not None:
            yield f"{path.parent.parent.name} {path.name}", count
    for path in sorted(root.glob("sys/class/hwmon/hwmon*/oc*_event_cnt")):
        count = read_number(path)
        if count is not None:
            yield path.name, count
