"""A description of the machine of a measurement: processor, clock, load, package versions."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bnnkit

_CPU = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_CPUINFO = Path("/proc/cpuinfo")
_FEATURES = ("popcnt", "avx", "fma", "amx", "asimd", "neon", "sve", "i8mm")
_PACKAGES = (
    "numpy",
    "numba",
    "llvmlite",
    "onnx",
    "onnxruntime",
    "openvino",
    "larq-compute-engine",
)


def describe_machine() -> dict[str, Any]:
    """Describe the machine, with the keys of google-benchmark and some more.

    Keys whose value the system does not report are left out.
    """
    cpuinfo = dict(_read_cpuinfo())
    features = (cpuinfo.get("flags") or cpuinfo.get("Features") or "").split()
    governor = _read(_CPU / "scaling_governor")
    known = {
        "date": datetime.datetime.now(datetime.timezone.utc)
        .astimezone()
        .isoformat(timespec="seconds"),
        "host_name": socket.gethostname(),
        "executable": sys.argv[0],
        "num_cpus": os.cpu_count(),
        "mhz_per_cpu": _mhz(cpuinfo),
        "cpu_scaling_enabled": None if governor is None else governor != "performance",
        "cpu_governor": governor,
        "cpu_model": cpu_model(),
        "cpu_features": [name for name in features if name.startswith(_FEATURES)],
        "load_avg": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {"bnnkit": bnnkit.__version__, **_versions()},
        "library_build_type": "release",
    }
    return {key: value for key, value in known.items() if value is not None}


def cpu_model() -> str:
    """Return the name of the CPU, or of its architecture if the system does not report it."""
    return dict(_read_cpuinfo()).get("model name") or platform.processor() or platform.machine()


def _mhz(cpuinfo: dict[str, str]) -> int | None:
    """Return the current clock if Linux reports it, else the highest clock."""
    if "cpu MHz" in cpuinfo:
        return round(float(cpuinfo["cpu MHz"]))
    khz = _read(_CPU / "cpuinfo_max_freq")
    return None if khz is None else int(khz) // 1000


def _read_cpuinfo() -> Iterator[tuple[str, str]]:
    """Read the entries of the first processor."""
    for line in (_read(_CPUINFO) or "").split("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        yield key.strip(), value.strip()


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _versions() -> dict[str, str]:
    """Return the versions of the installed packages that compute."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions
