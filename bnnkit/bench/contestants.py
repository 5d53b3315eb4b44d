"""What a user could run a binarized network with in place of bnnkit: rivals to be measured.

| name               | what computes                                                            |
| ------------------ | ------------------------------------------------------------------------ |
| `onnxruntime-int8` | ONNX Runtime, quantized layers from end to end (integer_twin.py)          |
| `openvino-int8`    | OpenVINO, the same, with its int8 kernels                                 |
| `openvino-1bit`    | OpenVINO's 1-bit convolutions, signs packed between them (one_bit_twin.py) |

Each is in the fastest exact form that was found, not in the artifact's own.
"""

from collections.abc import Callable

from bnnkit.artifact.artifact import Artifact
from bnnkit.engines import ENGINES, open_engine
from bnnkit.engines.engine import Engine
from bnnkit.engines.ort_int8 import IntegerOnnxRuntime
from bnnkit.engines.ov import IntegerOpenVino, OneBitOpenVino
from bnnkit.runtime.threads import check_threads

RIVALS: dict[str, Callable[[Artifact, int], Engine]] = {
    rival.name: rival for rival in (IntegerOnnxRuntime, IntegerOpenVino, OneBitOpenVino)
}
CONTESTANTS = (*ENGINES, *RIVALS)
"""Names of all that can be measured."""


def open_contestant(name: str, artifact: Artifact, *, threads: int = 1) -> Engine:
    """An engine or a rival, ready to execute the artifact; arguments as in `open_engine`.

    Raises:
        UsageError: There is none of that name, or that number of threads cannot be.
        MissingExtraError: Its package is not installed.
        UnsupportedError: It cannot execute a part of the artifact.
    """
    if name not in RIVALS:
        return open_engine(name, artifact, threads=threads)
    check_threads(threads)
    return RIVALS[name](artifact, threads)
