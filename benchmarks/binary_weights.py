"""Binary weights with real activations, one thread, against onnxruntime in float32.

python benchmarks/binary_weights.py

Prints a table and writes results/binary_weights.json. The two engines are interleaved; a ratio is
computed in each round.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.bits import pack_weight
from bnnkit.files.atomic import write_text
from bnnkit.runtime import Model

RESULTS = Path(__file__).parent / "results" / "binary_weights.json"
TURNS = 41
LAYERS = {
    # output channels, input channels, height and width, kernel; 0 is a dense layer
    "3x3, 128 channels, 32x32": (128, 128, 32, 3),
    "3x3, 256 channels, 16x16": (256, 256, 16, 3),
    "3x3, 512 channels, 8x8": (512, 512, 8, 3),
    "1x1, 512 channels, 16x16": (512, 512, 16, 1),
    "dense, 8192 to 1024": (1024, 8192, 1, 0),
}


def layer(signs: NDArray[np.int8], size: int, *, is_packed: bool) -> onnx.ModelProto:
    """One layer, its weights packed or as float32."""
    is_map = signs.ndim == 4
    if is_packed:
        weight = numpy_helper.from_array(pack_weight(signs), "packed")
        unpack = helper.make_node(
            "BinaryWeight", ["packed"], ["weight"], domain="bnnkit", weight_shape=signs.shape
        )
        nodes = [unpack]
    else:
        oihw = signs.transpose(0, 3, 1, 2) if is_map else signs
        weight = numpy_helper.from_array(oihw.astype(np.float32), "weight")
        nodes = []
    if is_map:
        pads = [signs.shape[1] // 2] * 4
        nodes.append(helper.make_node("Conv", ["x", "weight"], ["y"], pads=pads))
    else:
        nodes.append(helper.make_node("Gemm", ["x", "weight"], ["y"], transB=1))
    sizes: list[int | str | None] = [size, size] if is_map else []
    shape = ["N", signs.shape[-1], *sizes]
    free: list[int | str | None] = ["N", *[None] * (len(shape) - 1)]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, free)],
        [weight],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("bnnkit", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def compare(outputs: int, inputs: int, size: int, kernel: int) -> dict[str, Any]:
    """Return the median microseconds of both, and the ratio over the rounds."""
    rng = np.random.default_rng(0)
    shape = (outputs, kernel, kernel, inputs) if kernel else (outputs, inputs)
    signs = rng.choice([-1, 1], size=shape).astype(np.int8)
    x = np.maximum(rng.standard_normal((1, inputs, size, size)), 0).astype(np.float32)
    x = x if kernel else x.reshape(1, inputs)
    model = Model(Artifact(layer(signs, size, is_packed=True)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    plain = layer(signs, size, is_packed=False).SerializeToString()
    session = onnxruntime.InferenceSession(plain, options, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(model.run(x), session.run(None, {"x": x})[0], atol=2e-3)
    times = np.array(
        [
            (_best(lambda: model.run(x)), _best(lambda: session.run(None, {"x": x})))
            for _ in range(TURNS)
        ]
    )
    ratios = times[:, 1] / times[:, 0]
    return {
        "bnnkit_us": float(np.median(times[:, 0])),
        "onnxruntime_us": float(np.median(times[:, 1])),
        "ratio": float(np.median(ratios)),
        "ratio_p10": float(np.percentile(ratios, 10)),
        "ratio_p90": float(np.percentile(ratios, 90)),
        "packed_bytes": signs.size // 8,
        "float_bytes": signs.size * 4,
    }


def _best(run: Callable[[], object]) -> float:
    """Return the median of five runs, in microseconds."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6


def main() -> None:
    results = {}
    print(f"{'layer':26} {'bnnkit, us':>11} {'onnxruntime fp32, us':>21} {'times as fast':>14}")
    for name, sizes in LAYERS.items():
        found = results[name] = compare(*sizes)
        print(
            f"{name:26} {found['bnnkit_us']:11.0f} {found['onnxruntime_us']:21.0f}"
            f" {found['ratio']:14.2f}"
        )
    write_text(RESULTS, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
