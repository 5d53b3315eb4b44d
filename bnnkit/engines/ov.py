"""OpenVINO's CPU plugin, with its int8 kernels or its 1-bit kernels.

Float layers are set to compute in float32: by default the plugin uses bfloat16 on CPUs that have
it, which changes signs. The model is compiled for each batch size, because the plugin is fastest
with fixed shapes.
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.input_batch import Batch
from bnnkit.engines.engine import Engine
from bnnkit.engines.ort_session import with_outputs
from bnnkit.engines.rewrites.one_bit import ONE_BIT, OneBitRewrite, TracedOneBitRewrite
from bnnkit.engines.rewrites.openvino_int8 import OpenVinoInt8Rewrite
from bnnkit.engines.rewrites.qdq_int8 import QdqInt8Rewrite
from bnnkit.engines.rewrites.rewrite import Rewrite
from bnnkit.engines.rewrites.traced_signs import as_signs
from bnnkit.errors import MissingExtraError, UnsupportedError

Array = NDArray[Any]


class OpenVino(Engine):
    """OpenVINO on a rewrite of the artifact."""

    def __init__(self, artifact: Artifact, threads: int = 1) -> None:
        super().__init__(artifact)
        self._openvino = _openvino()
        self.version = str(self._openvino.get_version()).split("-")[0]
        self._artifact, self._threads = artifact, threads
        self._core = self._openvino.Core()
        self._proto = self._rewrite(artifact).model()
        self._requests: dict[int, Any] = {}
        self._read(self._proto)  # raises UnsupportedError now rather than in the first run

    def run(self, images: Batch) -> tuple[Array, ...]:
        """As `Engine.run`."""
        request = self._requests.get(len(images))
        if request is None:
            request = self.compile(len(images)).create_infer_request()
            self._requests[len(images)] = request
        request.infer([*self._feeds(images).values()], share_inputs=True)
        return tuple(tensor.data.copy() for tensor in request.output_tensors)

    def trace(self, images: Batch) -> dict[str, Array]:
        """As `Engine.trace`."""
        rewrite = self._traced_rewrite(self._artifact)
        proto = rewrite.model()
        names = [name for name in self._artifact.signs if name in rewrite.traced]
        extended = with_outputs(proto, [rewrite.traced[name] for name in names])
        compiled = self._compile(self._read(extended), len(images))
        results = compiled([*self._feeds(images).values()])
        values = [results[compiled.output(rewrite.traced[name])] for name in names]
        return {name: as_signs(x) for name, x in zip(names, values, strict=True)}

    def compile(self, batch: int) -> Any:
        """Compile the network for a batch size; its `get_runtime_model` names the kernels."""
        return self._compile(self._read(self._proto), batch)

    @abstractmethod
    def _rewrite(self, artifact: Artifact) -> Rewrite:
        """Return the rewrite to execute."""

    @abstractmethod
    def _traced_rewrite(self, artifact: Artifact) -> QdqInt8Rewrite | TracedOneBitRewrite:
        """Return a rewrite in which all signs are tensors that can be read."""

    def _prepare(self, model: Any) -> None:
        """Replace placeholders in the model for operators that ONNX lacks."""

    def _read(self, proto: onnx.ModelProto) -> Any:
        try:
            model = self._core.read_model(proto.SerializeToString())
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise UnsupportedError(f"openvino cannot read the model: {reason}") from error
        self._prepare(model)
        return model

    def _compile(self, model: Any, batch: int) -> Any:
        model.reshape({one.name: [batch, *one.shape] for one in self._graph.inputs})
        options = {
            "INFERENCE_NUM_THREADS": self._threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            return self._core.compile_model(model, "CPU", options)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise UnsupportedError(f"openvino cannot execute the model: {reason}") from error


class Int8OpenVino(OpenVino):
    """OpenVINO on the int8 rewrite of the artifact."""

    name = "openvino-int8"

    def _rewrite(self, artifact: Artifact) -> QdqInt8Rewrite:
        return OpenVinoInt8Rewrite(artifact)

    _traced_rewrite = _rewrite


class OneBitOpenVino(OpenVino):
    """OpenVINO with its `BinaryConvolution`."""

    name = "openvino-1bit"

    def _rewrite(self, artifact: Artifact) -> OneBitRewrite:
        return OneBitRewrite(artifact)

    def _traced_rewrite(self, artifact: Artifact) -> TracedOneBitRewrite:
        return TracedOneBitRewrite(artifact)

    def _prepare(self, model: Any) -> None:
        self._bits = list(self._replace(model))  # OpenVINO does not copy them

    def _replace(self, model: Any) -> Iterator[Array]:
        """Replace the marked convolutions by 1-bit convolutions; yield their packed weights."""
        openvino = self._openvino
        for node in model.get_ordered_ops():
            name = node.get_friendly_name()
            if not name.startswith(ONE_BIT):
                continue
            weight = node.input_value(1).get_node().get_data()
            bits = np.packbits(weight.ravel() > 0, bitorder="little")
            tensor = openvino.Tensor(bits, openvino.Shape(weight.shape), openvino.Type.u1)
            where = node.get_attributes()
            outside = float(name.removeprefix(ONE_BIT).split(".")[0])
            replacement = openvino.opset1.binary_convolution(
                node.input_value(0),
                openvino.op.Constant(tensor),
                where["strides"],
                where["pads_begin"],
                where["pads_end"],
                where["dilations"],
                "xnor-popcount",
                outside,
            )
            replacement.set_friendly_name(name)
            for reader in node.output(0).get_target_inputs():
                reader.replace_source_output(replacement.output(0))
            yield bits


def _openvino() -> Any:
    try:
        import openvino
        import openvino.opset1
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise  # a bug of ours must not read as a missing package
        raise MissingExtraError("the engine openvino", "openvino") from error
    return openvino
