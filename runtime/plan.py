"""A plan: the steps that compute a network, and the values that they pass on."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from bnnkit.artifact.format.cached_property import cached_property
from bnnkit.artifact.format.graph import Graph
from bnnkit.artifact.format.input_batch import Batch, InputBatch
from bnnkit.runtime.executable import Executable
from bnnkit.runtime.lowering.kernel_forms import KernelForms
from bnnkit.runtime.lowering.lower import lower
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.shared_weights import SharedWeights
from bnnkit.runtime.memory.values import Array, Value

CHUNK_BYTES = 32 << 20
"""Size of the buffers of a chunk: enough images to keep the cores busy."""


class Plan:
    """The steps of a lowered graph. `bind` allocates their memory.

    Attributes:
        graph: The graph, without its constants.
        steps: In order.
        noise_dependent: Names of the values that depend on the noise.
        constants: Outputs that do not depend on the images, by name.
        values: Kind, shape and layout of each value that is stored, by name.
    """

    def __init__(
        self,
        graph: Graph,
        weight_draw: int = 0,
        shared: SharedWeights | None = None,
        forms: KernelForms | None = None,
    ) -> None:
        """Lower a graph. The steps hold what they need of its constants, in another form.

        Args:
            graph: The network.
            weight_draw: Index of the stored draw of the weights; 0 where none are stored.
            shared: Weights of the network's other plans, which this one does not copy.
            forms: The forms of the kernels; None for those of this CPU.
        """
        builder: PlanBuilder = lower(graph, weight_draw, shared, forms)
        self.graph = graph.without_constants
        self._inputs = graph.input_names
        self.steps = builder.steps
        self.noise_dependent = frozenset(builder.noise_dependent)
        self._flattened = builder.flattened
        self.constants = {
            name: builder.constants[name] for name in graph.outputs if name in builder.constants
        }
        self.values: dict[str, Value] = {
            name: value
            for name, value in builder.values.items()
            if not any(name in d for d in (builder.padded, builder.flattened, builder.moved))
        }

    @property
    def signs(self) -> tuple[str, ...]:
        """Names of the signs that `read` can return, in the order of the graph."""
        names = [name for node in self.graph.nodes for name in node.outputs]
        sources = {name: self._flattened.get(name, name) for name in names}
        return tuple(
            name
            for name, source in sources.items()
            if source in self.values and self.values[source].kind in ("signs", "codes")
        )

    def stored_as(self, name: str) -> str | None:
        """Return the value that holds an output: itself, or the signs that it flattens.

        None if it is a constant.
        """
        return None if name in self.constants else self._flattened.get(name, name)

    def load(self, batch: Batch, memory: Memory) -> None:
        """Copy the inputs of the network, which are known to fit, to the memory."""
        if not isinstance(batch, InputBatch):  # most networks have one; small ones are fast
            np.copyto(memory.buffers[self._inputs[0]], batch)
            return
        for name, array in batch.arrays.items():
            np.copyto(memory.buffers[name], array)

    def read(self, name: str, memory: Memory) -> Array:
        """Copy a value to ONNX's layout."""
        if name in self.constants:
            return self.constants[name].copy()
        if name in self._flattened:
            signs = memory.onnx(self._flattened[name])
            return signs.reshape(len(signs), -1)
        return np.array(memory.onnx(name), order="C")

    def joined(
        self, parts: Sequence[Mapping[str, Array]], names: Collection[str]
    ) -> dict[str, Array]:
        """Join what `read` gave for the parts of a batch; constants are the same in each."""
        return {
            name: parts[0][name]
            if name in self.constants
            else np.concatenate([part[name] for part in parts])
            for name in names
        }

    def for_each_row(self, values: Mapping[str, Array], rows: int) -> dict[str, Array]:
        """Repeat what does not depend on the images for each row."""
        return {
            name: np.broadcast_to(value, (rows, *value.shape)) if name in self.constants else value
            for name, value in values.items()
        }

    def bind(self, batch: int, threads: int) -> Executable:
        """Allocate memory for a batch and bind the steps to it."""
        return Executable(Memory(self.values, batch, threads), self.steps)

    @cached_property
    def chunk(self) -> int:
        """Largest number of images that are computed together."""
        return self._fitting(self.values.keys())

    @cached_property
    def chunk_of_rows(self) -> int:
        """Largest number of rows, pairs of an image and a sample, that are computed together."""
        return self._fitting(self.values.keys() & self.noise_dependent)

    def _fitting(self, names: Collection[str]) -> int:
        per_row = sum(_bytes(self.values[name]) for name in names)
        return max(1, min(64, CHUNK_BYTES // max(1, per_row)))


def _bytes(value: Value) -> int:
    buffer = value.allocate(1)
    return buffer.nbytes
