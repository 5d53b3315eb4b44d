"""A plan: the steps of a network, and their buffers for one batch size and number of threads."""

from dataclasses import dataclass

import numpy as np

from bnnkit.runtime.graph import Graph
from bnnkit.runtime.lowering.draft import Draft
from bnnkit.runtime.lowering.lower import lower
from bnnkit.runtime.threads import Part, run_parts
from bnnkit.runtime.values import Array, Buffers, Value

CHUNK_BYTES = 32 << 20
"""Buffers for as many images as fit into about this much are enough to keep the cores busy."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """Steps with all their arguments fixed. One caller at a time.

    Attributes:
        batch: Images that the buffers hold.
        buffers: By value name.
        steps: The parts of each step.
    """

    batch: int
    buffers: Buffers
    steps: list[list[Part]]

    def run(self) -> None:
        """Compute all buffers from the input's; infinities and NaN are results, not warnings."""
        with np.errstate(all="ignore"):
            for parts in self.steps:
                run_parts(parts)


class Plan:
    """What `lower` made of a graph; `bind` gives it memory."""

    def __init__(self, graph: Graph) -> None:
        draft: Draft = lower(graph)
        self.graph = graph
        self.steps = draft.steps
        self.values: dict[str, Value] = {
            name: value
            for name, value in draft.values.items()
            if name not in draft.padded and name not in draft.flattened
        }

    def bind(self, batch: int, threads: int) -> Bound:
        """Buffers and calls for a batch."""
        buffers = {name: value.allocate(batch) for name, value in self.values.items()}
        steps = [step.bind(self.values, buffers, threads) for step in self.steps]
        return Bound(batch=batch, buffers=buffers, steps=[parts for parts in steps if parts])

    def chunk(self) -> int:
        """Images that are computed together when a batch is large."""
        per_image = sum(_bytes(value) for value in self.values.values())
        return max(1, min(64, CHUNK_BYTES // per_image))

    def to_onnx(self, name: str, buffers: Buffers) -> Array:
        """A value as ONNX has it, copied."""
        return np.array(self.values[name].to_onnx(buffers[name]), order="C")


def _bytes(value: Value) -> int:
    buffer = value.allocate(1)
    return buffer.nbytes
