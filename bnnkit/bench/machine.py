"""A description of the machine of a measurement: processor, clock, load, package versions."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import socket
import sys
from typing import Any

import bnnkit
from bnnkit.bench.system_files import ROOT, cpuinfo, read_number, read_text

_CPU = ROOT / "sys/devices/system/cpu/cpu0/cpufreq"
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
    first = next(cpuinfo())
    features = (first.get("flags") or first.get("Features") or "").split()
    governor = read_text(_CPU / "scaling_governor")
    known = {
        "date": datetime.datetime.now(datetime.timezone.utc)
        .astimezone()
        .isoformat(timespec="seconds"),
        "host_name": socket.gethostname(),
        "executable": sys.argv[0],
        "num_cpus": os.cpu_count(),
        "mhz_per_cpu": _mhz(first),
        "cpu_scaling_enabled": None if governor is None else governor != "performance",
        "cpu_governor": governor,
        "cpu_model": _cpu_model(first),
        "cpu_features": [name for name in features if name.startswith(_FEATURES)],
        "load_avg": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {"bnnkit": bnnkit.__version__, **_versions()},
        "library_build_type": "release",
    }
    return {key: value for key, value in known.items() if value is not None}


def describe_machine_to_publish() -> dict[str, Any]:
    """Describe the machine like `describe_machine`, without its name and the program's path."""
    known = describe_machine()
    del known["host_name"], known["executable"]
    return known


def _cpu_model(first: dict[str, str]) -> str:
    """Return the name of the CPU, or of its architecture if the system does not report it."""
    return first.get("model name") or platform.processor() or platform.machine()


def _mhz(first: dict[str, str]) -> int | None:
    """Return the current clock if Linux reports it, else the highest clock."""
    if "cpu MHz" in first:
        return round(float(first["cpu MHz"]))
    khz = read_number(_CPU / "cpuinfo_max_freq")
    return None if khz is None else khz // 1000


def _versions() -> dict[str, str]:
    """Return the versions of the installed packages that compute."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions
