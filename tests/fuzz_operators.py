"""Random files of one operator through the runtime and the reference, against ONNX Runtime.

    python tests/fuzz_operators.py [COUNT [SEED]]

Prints how many files were right, how many were refused and by whom, and where ONNX Runtime departs
from ONNX's definition (DEPARTURES). Each other difference is printed with its number, with exit
code 1: `draw(SEED, NUMBER)` of random_operators.py gives the file.
"""

import sys
from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from random_operators import OneOperator, draw

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.operators.facts import FACTS
from bnnkit.artifact.reference import Reference
from bnnkit.errors import BnnkitError
from bnnkit.runtime import Model

Array = NDArray[Any]
TOLERANCE = 3e-5
"""Of sums and functions, relative to the largest number of the input or the result."""
_NAN = "its result depends on the place of a NaN"
DEPARTURES = {
    **dict.fromkeys(
        ("MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "ArgMax", "ArgMin"), _NAN
    ),
    "Resize": "it rounds the new length before align_corners, and places to float32",
}
"""Where ONNX Runtime departs from ONNX's definition, by operator. Runtime and reference agree."""


def outcome(file: OneOperator) -> str:
    """Run one file; return what happened."""
    try:
        wanted = by_onnxruntime(file)
    except Exception as error:  # errors of ONNX Runtime have no class of their own
        return f"ONNX Runtime refuses {file.kind}: {str(error)[:60]}"
    try:
        model = Model(Artifact(file.model))
    except BnnkitError as error:
        is_named = file.kind in str(error)
        return f"refused: {file.kind}" if is_named else f"WRONG {file}: refused as {error}"
    try:
        results = model.run(file.images)
    except BnnkitError as error:
        return f"WRONG {file}: fails after it was loaded: {error}"
    results = results if isinstance(results, tuple) else (results,)
    with np.errstate(all="ignore"):
        reference = Reference(Artifact(file.model)).run(file.images)
    for engine, found in (("runtime", results), ("reference", reference)):
        if not is_same(file, found, wanted):
            if file.kind in DEPARTURES and is_same(file, results, reference):
                return f"ONNX Runtime departs: {file.kind}, {DEPARTURES[file.kind]}"
            return f"WRONG {file}: the {engine} differs"
    return "right"


def by_onnxruntime(file: OneOperator) -> list[Array]:
    session = ort.InferenceSession(
        file.model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {"x": file.images}))


def is_same(file: OneOperator, results: Any, wanted: Any) -> bool:
    return len(results) == len(wanted) and all(
        (got.shape, got.dtype) == (want.shape, want.dtype) and _is_close(file, got, want)
        for got, want in zip(results, wanted, strict=True)
    )


def _is_close(file: OneOperator, got: Array, want: Array) -> bool:
    fact = FACTS[file.kind]
    if fact.result not in ("summed", "approximate") or got.dtype.kind != "f":
        return np.array_equal(got, want, equal_nan=got.dtype.kind == "f")
    stored = [onnx.numpy_helper.to_array(t) for t in file.model.graph.initializer]
    numbers = [file.images, want, *(n for n in stored if n.dtype.kind == "f")]
    finite = [np.abs(n[np.isfinite(n)]).max(initial=1).astype(np.float64) for n in numbers]
    is_product = fact.result == "summed"
    size = max(np.prod(finite[:1] + finite[2:]) if is_product else 1.0, finite[1])
    return bool(np.allclose(got, want, TOLERANCE, TOLERANCE * size, equal_nan=True))


def main(count: int, seed: int) -> int:
    """Print what became of `count` files; return the exit code."""
    ort.set_default_logger_severity(4)
    ends = Counter(outcome(draw(seed, number)) for number in range(count))
    wrong = [end for end in ends if end.startswith("WRONG")]
    for end, times in ends.most_common():
        if not end.startswith("WRONG"):
            print(f"{times:7} {end}")
    for end in wrong:
        print(end)
    print(f"{count} files, {len(wrong)} wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*(given + [2000, 0][len(given) :])))
