"""Where does binarizing not pay? The time of each binary layer's float32 twin in ONNX Runtime.

A twin is one convolution with float32 weights and as many products as the binary layer, alone in a
session. It takes and gives maps (N, C, H, W), which ONNX Runtime may have to reorder, so inside a
float network it can be somewhat faster.
"""

import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.operators import operator_of_kind
from bnnkit.engines.ort_session import open_session
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.steps.bit_sliced import BitSlicedConvolution
from bnnkit.runtime.steps.convolution import Convolution
from bnnkit.runtime.steps.window import KernelWindow

OPSET = 17
IR_VERSION = 8
WARM_UP_RUNS = 2


def float_twins(
    artifact: Artifact, *, threads: int = 1, batch: int = 1, runs: int = 20
) -> dict[str, float]:
    """Time the float32 twin of each binary layer.

    Args:
        artifact: The artifact.
        threads: The number of threads.
        batch: The number of images.
        runs: The number of runs of each twin.

    Returns:
        The median of the runs in microseconds, by the name of the layer's node.

    Raises:
        MissingExtraError: If onnxruntime is not installed.
    """
    plan = Plan(artifact.deterministic.graph)
    nodes = {node.name: node for node in plan.graph.nodes if _is_binary(node)}
    windows = {
        step.name: step.window
        for step in plan.steps
        if isinstance(step, Convolution | BitSlicedConvolution) and step.name in nodes
    }
    known: dict[bytes, float] = {}
    found = {}
    for name, window in windows.items():
        twin = _twin(nodes[name], window, batch)
        key = twin.SerializeToString(deterministic=True)
        if key not in known:
            known[key] = _median_us(twin, threads, runs)
        found[name] = known[key]
    return found


def _is_binary(node: Node) -> bool:
    operator = operator_of_kind(node.kind)
    return operator is not None and operator.layer == "binary"


def _twin(node: Node, window: KernelWindow, batch: int) -> onnx.ModelProto:
    """Build a convolution, without padding, that gives the layer's output size."""
    groups = int(node.attributes.get("group", 1))
    shape = tuple(node.attributes["weight_shape"])
    height, width = window.size
    inputs = int(np.prod(shape[1:])) // (height * width)
    rows, columns = (
        (window.output[i] - 1) * window.stride[i] + window.dilation[i] * (window.size[i] - 1) + 1
        for i in range(2)
    )
    weight = np.ones((shape[0], inputs, height, width), np.float32)
    conv = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        group=groups,
        strides=window.stride,
        dilations=window.dilation,
    )
    sizes = (batch, inputs * groups, rows, columns), (batch, shape[0], *window.output)
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size)
        for name, size in zip("xy", sizes, strict=True)
    )
    graph = helper.make_graph([conv], "twin", [x], [y], [numpy_helper.from_array(weight, "w")])
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _median_us(twin: onnx.ModelProto, threads: int, runs: int) -> float:
    session = open_session(twin, threads)
    size = tuple(dim.dim_value for dim in twin.graph.input[0].type.tensor_type.shape.dim)
    feed = {"x": np.ones(size, np.float32)}
    times = []
    for _ in range(WARM_UP_RUNS + runs):
        start = time.perf_counter_ns()
        session.run(None, feed)
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times[WARM_UP_RUNS:])) / 1e3
