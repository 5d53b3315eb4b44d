"""Damaged data sets, checkpoints, states, histories and configurations.

    python tests/fuzz_data.py [COUNT [SEED]]

Each file ends in a result or in an error of bnnkit's, of one line, within 2 s of the CPU and 1 GB.
Prints how many of each kind did which, and the longest; where one does not, its kind, seed and
number, with exit code 1. The process that reads the files is one of its own.
"""

import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from data_damage import Kind, damaged, kinds
from fuzz_tflite import MOST_SECONDS, failure, limited, tell, watch

from bnnkit.errors import BnnkitError

UNEXPECTED = ("not enough memory", "fault of bnnkit")
"""Words of errors that a damaged file may give, and that are worth a look."""


def outcome(kind: Kind, path: Path) -> str:
    """Read a file; the error, if it ends in one of bnnkit's."""
    try:
        kind.read(path)
    except BnnkitError as error:
        return str(error) or "an error without words"
    return ""


def child(seed: int, start: int, stop: int) -> int:
    """Work through some files, telling each before it is opened."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        every = kinds(folder)
        for number in range(start, stop):
            source, kind = list(every.items())[number % len(every)]
            path = folder / kind.name
            good = path.read_bytes() if path.is_file() else None
            path.write_bytes(damaged(kind, seed, number))
            tell(seed=seed, number=number, source=source)
            read = partial(outcome, kind, path)
            error, seconds, wrong = limited(read)
            if seconds > MOST_SECONDS:  # the first of its kind imports much
                error, seconds, wrong = limited(read)
            tell(error=error, seconds=seconds)
            if wrong or UNEXPECTED[0] in error:
                tell(wrong=wrong or error)
                return 1
            path.unlink() if good is None else path.write_bytes(good)
    return 0


def fuzz(seed: int, start: int, stop: int) -> list[dict[str, Any]]:
    """Work through some files in a process of its own."""
    return watch([__file__, "--child", str(seed), str(start), str(stop)])


def main(count: int, seed: int) -> int:
    """Print what became of `count` files; the exit code."""
    facts = fuzz(seed, 0, count)
    ends: Counter[tuple[str, str]] = Counter()
    for file, fact in zip(facts[::2], facts[1::2], strict=False):
        if "error" in fact:
            ends[file["source"], "errors" if fact["error"] else "results"] += 1
    for (source, end), number in sorted(ends.items()):
        print(f"{source}: {number} {end}")
    unexpected = {fact["error"] for fact in facts if UNEXPECTED[1] in fact.get("error", "")}
    print(*sorted(unexpected), sep="\n")
    print(f"longest {max((fact.get('seconds', 0) for fact in facts), default=0):.2f} s")
    if wrong := failure(facts):
        print(wrong)
        return 1
    return 0


if __name__ == "__main__":
    if "--child" in sys.argv:
        sys.exit(child(*(int(word) for word in sys.argv[2:])))
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*(given + [2000, 0][len(given) :])[:2]))
