"""ONNX Runtime on the fastest integer rewrite: one quantized operator for each binary layer.

For small batches, dense layers are `MatMulNBits` with 2-bit weights, which reads a quarter of the
bytes (this saves 5 % of the latency of the paper's CIFAR network). Larger batches use 8-bit
weights, because `MatMulNBits` has no fast kernel for them.

Convolutions whose sums are added to real numbers (skip connections) stay in float32: the only
operator with an integer sum, `ConvInteger`, takes ten times as long.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.cached_property import cached_property
from bnnkit.artifact.format.input_batch import Batch
from bnnkit.engines.ort import RewrittenOnnxRuntime
from bnnkit.engines.ort_session import open_session, with_outputs
from bnnkit.engines.rewrites.qdq_int8 import QdqInt8Rewrite
from bnnkit.engines.rewrites.rewrite import PREFIX
from bnnkit.engines.rewrites.traced_signs import as_signs

Array = NDArray[Any]

MICROSOFT = "com.microsoft"
BLOCK = 128
"""The number of inputs that share a scale."""
MAX_TWO_BIT_BATCH = 4
"""The largest batch for which 2-bit weights are faster than 8-bit weights."""


class TwoBitLinearRewrite(QdqInt8Rewrite):
    """An int8 rewrite whose dense layers have 2-bit weights."""

    domains: ClassVar[Mapping[str, int]] = {MICROSOFT: 1}

    def dense(self, layer: onnx.NodeProto, limits: Array) -> str:
        """As `QdqInt8Rewrite.dense`, with 2-bit weights if the inputs fill whole blocks."""
        weight, name = self.binary_weights(layer), f"{PREFIX}{layer.output[0]}"
        outputs, inputs = weight.shape
        if inputs % BLOCK:
            return super().dense(layer, limits)
        code, plus, _ = self.code(layer.input[0])
        x = self.add("Cast", [code], f"{name}.x", to=onnx.TensorProto.FLOAT)
        blocks = inputs // BLOCK
        packed = self.constant(f"{name}.packed", _two_bits(weight), np.uint8)
        scales = self.constant(f"{name}.scales", np.ones(outputs * blocks))
        middles = np.full(outputs * -(-blocks // 4), 0b01010101)  # a code of 1 is a weight of 0
        operands = [x, packed, scales, self.constant(f"{name}.middles", middles, np.uint8)]
        sizes = {"K": inputs, "N": outputs, "bits": 2, "block_size": BLOCK, "accuracy_level": 4}
        self.add("MatMulNBits", operands, f"{name}.sums", MICROSOFT, **sizes)
        # The zero point is 0 here, so the sum is plus (S + W) / 2. The half step puts the limit
        # between two possible sums.
        total = weight.astype(np.int64).sum(axis=1)
        bias = plus * ((-total - limits) // 2) + plus / 2
        shift = self.constant(f"{name}.shift", bias)
        return self._saturate(self.add("Add", [f"{name}.sums", shift], f"{name}.left"), name)


def _two_bits(weight: Array) -> Array:
    """Pack -1 and +1 as the codes 0 and 2, (O, blocks, BLOCK / 4), first in lowest bits."""
    codes = (weight + 1).astype(np.uint8).reshape(len(weight), -1, BLOCK // 4, 4)
    packed: Array = np.bitwise_or.reduce(codes << np.array([0, 2, 4, 6], np.uint8), axis=-1)
    return packed


class Int8OnnxRuntime(RewrittenOnnxRuntime):
    """ONNX Runtime on the int8 rewrite of the artifact."""

    name = "onnxruntime-int8"

    def run(self, images: Batch) -> tuple[Array, ...]:
        """As `Engine.run`."""
        session = self._session if len(images) <= MAX_TWO_BIT_BATCH else self._session_for_batches
        return self._execute(session, None, images)

    def trace(self, images: Batch) -> dict[str, Array]:
        """As `Engine.trace`."""
        rewrite = QdqInt8Rewrite(self._artifact)
        model = rewrite.model()
        names = [name for name in self._artifact.signs if name in rewrite.traced]
        tensors = [rewrite.traced[name] for name in names]
        session = open_session(with_outputs(model, tensors), self._threads)
        values = self._execute(session, tensors, images) if tensors else ()
        return {name: as_signs(x) for name, x in zip(names, values, strict=True)}

    @cached_property
    def _session_for_batches(self) -> Any:
        return open_session(QdqInt8Rewrite(self._artifact).model(), self._threads)

    def _rewrite(self, artifact: Artifact) -> onnx.ModelProto:
        return TwoBitLinearRewrite(artifact).model()
