"""Damaged .tflite files through the runtime: each ends in a result or in an error of bnnkit's.

    python tests/fuzz_tflite.py [COUNT [SEED]]

Each file is one of tests/data with some bytes changed, mostly outside of the weights. Prints how
many ended in a result, how many in an error, and the longest time and the most memory of one;
exits with 1 at the first that takes more than 2 s or 1 GB, or ends otherwise.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import bnnkit.runtime as rt
from bnnkit.errors import BnnkitError

DATA = Path(__file__).parent / "data"
MOST_SECONDS = 2.0
MOST_MEGABYTES = 1000
_WORDS = (0, 1, -1, 2, 16, 255, 65535, 1 << 20, (1 << 31) - 1, -(1 << 31), -2, 4)


@dataclass(frozen=True)
class Outcome:
    """Of one damaged file."""

    number: int
    source: str
    error: str
    seconds: float
    megabytes: float


def _bytes(rng: np.random.Generator, content: bytearray) -> None:
    for place in _places(rng, content, 1 + int(rng.integers(6))):
        content[place] = int(rng.integers(256))


def _bits(rng: np.random.Generator, content: bytearray) -> None:
    for place in _places(rng, content, 1 + int(rng.integers(4))):
        content[place] ^= 1 << int(rng.integers(8))


def _words(rng: np.random.Generator, content: bytearray) -> None:
    """Numbers that are likely to matter: in the place of offsets, sizes, lengths, indices."""
    for place in _places(rng, content, 1 + int(rng.integers(3))):
        place -= place % 4
        word = int(rng.choice(_WORDS))
        content[place : place + 4] = word.to_bytes(4, "little", signed=True)


def _nudged(rng: np.random.Generator, content: bytearray) -> None:
    """An offset or a size that is a little more or less: parts that overlap, and cycles."""
    for place in _places(rng, content, 1 + int(rng.integers(2))):
        place -= place % 4
        word = int.from_bytes(content[place : place + 4], "little")
        word = (word + int(rng.integers(-64, 65))) % (1 << 32)
        content[place : place + 4] = word.to_bytes(4, "little")


def _cut(rng: np.random.Generator, content: bytearray) -> None:
    start = int(rng.integers(8, len(content)))
    del content[start : start + int(rng.integers(1, 1 << int(rng.integers(1, 15))))]


def _copied(rng: np.random.Generator, content: bytearray) -> None:
    source, target = _places(rng, content, 2)
    size = int(rng.integers(1, 64))
    content[target : target + size] = content[source : source + size]


DAMAGES: tuple[Callable[[np.random.Generator, bytearray], None], ...] = (
    _bytes,
    _bits,
    _words,
    _words,
    _nudged,
    _nudged,
    _cut,
    _copied,
)


def _places(rng: np.random.Generator, content: bytearray, count: int) -> list[int]:
    """Where to change something: at zeros and their like, which weights rarely are."""
    array = np.frombuffer(bytes(content), np.uint8)
    tables = np.flatnonzero(array[8:-4] == 0) + 8
    chosen = rng.choice(tables, count) + rng.integers(-3, 4, count)
    return [int(place) for place in np.clip(chosen, 8, len(content) - 5)]


def damaged(seed: int, number: int) -> tuple[str, bytes]:
    """The name of a file, and the file with some damage."""
    rng = np.random.default_rng([seed, number])
    files = sorted(DATA.glob("lce*/*.tflite"))
    path = files[int(rng.integers(len(files)))]
    content = bytearray(path.read_bytes())
    DAMAGES[int(rng.integers(len(DAMAGES)))](rng, content)
    return path.stem, bytes(content)


def outcome(seed: int, number: int, folder: Path) -> Outcome:
    """Load and run one damaged file. Whatever is not an error of bnnkit's goes through."""
    source, content = damaged(seed, number)
    path = folder / "damaged.tflite"
    path.write_bytes(content)
    error, before, start = "", _megabytes(), time.perf_counter()
    try:
        model = rt.load(path)
        model.run(np.zeros((1, *model.input_shape), model.input_dtype))
    except BnnkitError as found:
        error = str(found)
    seconds = time.perf_counter() - start
    return Outcome(number, source, error, seconds, _megabytes() - before)


def _megabytes() -> float:
    """The most memory that the process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def is_good(found: Outcome) -> bool:
    """Whether it was quick and small, and the error is one line."""
    is_small = found.seconds < MOST_SECONDS and found.megabytes < MOST_MEGABYTES
    return is_small and "\n" not in found.error


def run(count: int, seed: int) -> int:
    """Print what became of `count` files; the exit code."""
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in sorted(DATA.glob("lce*/*.tflite")):  # compile the kernels
            model = rt.load(path)
            model.run(np.zeros((1, *model.input_shape), model.input_dtype))
        for number in range(count):
            outcomes.append(outcome(seed, number, folder))
            if not is_good(outcomes[-1]):
                print(f"bad: {outcomes[-1]}")
                return 1
    results = sum(not found.error for found in outcomes)
    print(f"{count} files: {results} results, {count - results} errors")
    longest = max(found.seconds for found in outcomes)
    print(f"longest {longest:.2f} s, most {sum(f.megabytes for f in outcomes):.0f} MB in all")
    return 0


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(run(*(given + [2000, 0][len(given) :])[:2]))
