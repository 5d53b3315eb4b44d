"""Fail if bnnkit has lost speed: `python benchmarks/check.py NEW.json [STORED.json]`.

It compares ratios, not times, because they depend less on the machine and its load.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STORED = Path(__file__).parent / "results" / "latency.json"
TOLERANCE = 0.15
"""The largest loss that passes, as a fraction of the stored ratio."""

Key = tuple[str, str, str]


def losses(stored: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Yield ratios that are lower than before, or missing although the engine is installed.

    Args:
        stored: Earlier results of benchmarks/latency.py.
        new: New results.
    """
    found = dict(_ratios(new))
    for key, before in _ratios(stored):
        network, engine, against = key
        what = f"{network}: {engine} against {against}"
        if key not in found:
            if against not in new["left_out"]:
                yield f"{what}: not measured"
        elif found[key] < before * (1 - TOLERANCE):
            yield f"{what}: {found[key]:.2f} times as fast, was {before:.2f}"


def other_cpu(stored: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Yield a warning if the CPUs have other instructions: engines differ in which they use.

    Args:
        stored: The context of the earlier results.
        new: The context of the new results.
    """
    gone = set(stored["cpu_features"]) - set(new["cpu_features"])
    come = set(new["cpu_features"]) - set(stored["cpu_features"])
    if gone or come:
        changes = [f"without {name}" for name in sorted(gone)]
        changes += [f"with {name}" for name in sorted(come)]
        yield f"another CPU ({', '.join(changes)}): ratios are not comparable between engines"


def _ratios(results: dict[str, Any]) -> Iterator[tuple[Key, float]]:
    for found in results["ratios"]:
        yield (found["network"], found["engine"], found["against"]), found["median"]


def main(arguments: list[str]) -> int:
    """Print the losses; return 1 if there are any, 2 if no files are given."""
    if len(arguments) not in (1, 2):
        print("expected: check.py NEW.json [STORED.json]", file=sys.stderr)
        return 2
    new, stored = Path(arguments[0]), Path(arguments[1]) if arguments[1:] else STORED
    results = json.loads(new.read_text())
    earlier = json.loads(stored.read_text())
    for engine, reason in results["left_out"].items():
        print(f"left out: {engine}: {reason}")
    for warning in other_cpu(earlier["context"], results["context"]):
        print(warning)
    lost = list(losses(earlier, results))
    print("\n".join(lost) or "no loss over 15 %")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
