"""Baselines: what else a user could run a binarized network with, measured beside bnnkit.

| name               | what computes                                                           |
| ------------------ | ----------------------------------------------------------------------- |
| `onnxruntime-int8` | ONNX Runtime with int8 layers end to end (engines/rewrites/qdq_int8.py) |
| `openvino-int8`    | OpenVINO with int8 layers (engines/rewrites/openvino_int8.py)           |
| `openvino-1bit`    | OpenVINO's 1-bit convolutions with packed signs between them            |
|                    | (engines/rewrites/one_bit.py)                                           |

Each baseline executes the fastest exact rewrite of the network that was found, not the artifact's
own operators.
"""

from collections.abc import Callable

from bnnkit.artifact.artifact import Artifact
from bnnkit.engines import ENGINES, open_engine
from bnnkit.engines.engine import Engine
from bnnkit.engines.ort_int8 import Int8OnnxRuntime
from bnnkit.engines.ov import Int8OpenVino, OneBitOpenVino
from bnnkit.runtime.threads import check_threads

BASELINES: dict[str, Callable[[Artifact, int], Engine]] = {
    baseline.name: baseline for baseline in (Int8OnnxRuntime, Int8OpenVino, OneBitOpenVino)
}
BENCHMARKED = (*ENGINES, *BASELINES)
"""Names of everything that a benchmark can measure: engines and baselines."""


def open_benchmarked(name: str, artifact: Artifact, *, threads: int = 1) -> Engine:
    """Open an engine or a baseline for the artifact; arguments as in `open_engine`.

    Raises:
        UsageError: If the name is unknown, or the number of threads is below 1.
        MissingExtraError: If the package of the engine is not installed.
        UnsupportedError: If the engine cannot execute a part of the artifact.
    """
    if name not in BASELINES:
        return open_engine(name, artifact, threads=threads)
    check_threads(threads)
    return BASELINES[name](artifact, threads)
