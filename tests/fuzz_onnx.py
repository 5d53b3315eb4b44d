"""Damaged ONNX files through the runtime, under guard pages: each ends in a result or an error.

    python tests/fuzz_onnx.py [COUNT [SEED [windows]]]

Works through the files in processes of their own: with pages without rights around every buffer,
of which the operating system takes more than 1 GB for one file away, and which are ended where a
file hangs. "windows" damages the geometry of windows alone. Prints how many files ended in a
result and how many in an error, the most frequent errors, and the longest; and the seed and the
number of each file that crashed, hung, took more than 2 s of the CPU or 1 GB, or ended in
an error of others, with exit code 1.
"""

import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_tflite import MOST_SECONDS, failure, limited, tell, watch
from guard_pages import install
from onnx_damage import damaged, damaged_windows
from onnx_examples import examples

import bnnkit.runtime as rt
from bnnkit.artifact.format.sample import Sample
from bnnkit.errors import BnnkitError

DAMAGES = {"all": damaged, "windows": damaged_windows}
BATCH = 3


def opened(path: Path) -> str:
    """Load and run a file; the error, if it ends in one of bnnkit's."""
    try:
        model = rt.load(path)
        rng = np.random.default_rng(0)
        images = rng.integers(0, 2, (BATCH, *model.input_shape)).astype(model.input_dtype)
        model.run(images)
        if model.is_stochastic:
            model.run_sample(images, Sample(seed=1, index=3))
    except BnnkitError as error:
        cause = error
        while isinstance(cause.__cause__, BnnkitError):
            cause = cause.__cause__
        foreign = type(cause.__cause__).__name__ if cause.__cause__ is not None else ""
        return f"{type(error).__name__} [{foreign}] {error}"
    return ""


def child(mode: str, seed: int, start: int, stop: int) -> int:
    """Work through some files, telling each before it is opened."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "damaged.onnx"
        for model in examples():  # compile the kernels
            path.write_bytes(model.SerializeToString())
            if error := opened(path):
                tell(wrong=f"a whole file ends in {error}")
                return 1
        for number in range(start, stop):
            install(side="after" if number % 4 else "before")
            source, content = DAMAGES[mode](seed, number)
            path.write_bytes(content)
            tell(mode=mode, seed=seed, number=number, source=source)
            error, seconds, wrong = limited(lambda: opened(path))
            if seconds > MOST_SECONDS:  # it may have compiled a kernel: that is done once
                error, seconds, wrong = limited(lambda: opened(path))
            tell(error=error, seconds=seconds)
            if wrong:
                tell(wrong=wrong)
                return 1
    return 0


def fuzz(mode: str, seed: int, start: int, stop: int) -> list[dict[str, Any]]:
    """Work through some files in a process of its own."""
    return watch([__file__, "--child", mode, str(seed), str(start), str(stop)])


def summary(error: str) -> str:
    """An error without its names and numbers."""
    return re.sub(r"\d+", "0", re.sub(r"'[^']*'", "'...'", error.partition("damaged.onnx")[2]))


def main(count: int, seed: int, mode: str) -> int:
    """Print what became of `count` files; the exit code."""
    facts: list[dict[str, Any]] = []
    wrong: list[str] = []
    start = 0
    while start < count:
        found = fuzz(mode, seed, start, min(count, start + 2500))
        facts += found
        numbers = [fact["number"] for fact in found if "number" in fact]
        if reason := failure(found):
            wrong.append(reason)
            print(reason, flush=True)
        if not numbers:
            break
        start = numbers[-1] + 1
    ends = [fact for fact in facts if "error" in fact]
    errors = [end["error"] for end in ends if end["error"]]
    print(f"{len(ends)} files: {len(ends) - len(errors)} results, {len(errors)} errors")
    for text, times in Counter(map(summary, errors)).most_common(40):
        print(f"{times:7} {text[:150]}")
    foreign = Counter(re.findall(r"\[(\w+)\]", " ".join(e[:60] for e in errors)))
    print("causes of others:", dict(foreign))
    print(f"longest {max((end['seconds'] for end in ends), default=0):.2f} s; {len(wrong)} wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    if "--child" in sys.argv:
        sys.exit(child(sys.argv[2], *(int(word) for word in sys.argv[3:])))
    given = sys.argv[1:]
    mode = "windows" if "windows" in given else "all"
    numbers = [int(word) for word in given if word != "windows"]
    count, seed = (numbers + [2000, 0][len(numbers) :])[:2]
    sys.exit(main(count, seed, mode))
