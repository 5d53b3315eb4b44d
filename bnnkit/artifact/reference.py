"""The reference executor: slow and plain; all other engines are compared with it.

Standard operators are ONNX's own reference implementation (except reference_pooling.py), so they
are independent of `bnnkit.artifact.standard`, which the runtime uses. Operators of the domain
bnnkit are the references in `bnnkit.artifact.operators`.
"""

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.operators import OPERATORS
from bnnkit.artifact.operators.operator import Operator
from bnnkit.artifact.reference_pooling import MaxPool
from bnnkit.errors import UsageError

Array = NDArray[Any]


def _op_run(operator: Operator) -> type[OpRun]:
    """Wrap an operator of bnnkit for ONNX's reference implementation."""

    def run(self: OpRun, *inputs: Array, **attributes: Any) -> tuple[Array, ...]:
        return operator.reference(*inputs, **attributes)

    return type(operator.name, (OpRun,), {"op_domain": DOMAIN, "_run": run})


_NEW_OPERATORS: Final[tuple[type[OpRun], ...]] = (*map(_op_run, OPERATORS.values()), MaxPool)


class Reference:
    """Executes a network, one operator after the other."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        self._input = artifact.model.graph.input[0].name
        bare = _without_bodies(artifact.model)
        self._evaluator = ReferenceEvaluator(bare, new_ops=list(_NEW_OPERATORS))

    def run(self, images: Array, sample: Sample | None = None) -> list[Array]:
        """Compute the model's outputs.

        Args:
            images: (N, ...).
            sample: The sample whose noise is used; None is the deterministic pass.

        Raises:
            UsageError: If a sample is requested of a deterministic file.
        """
        return list(self._evaluator.run(None, self._feeds(images, sample)))

    def trace(self, images: Array, sample: Sample | None = None) -> dict[str, Array]:
        """Return all sign tensors by name, uint8, 0 for -1 and 2 for +1; arguments as in `run`."""
        values = self.run_all(images, sample)
        return {name: values[name] for name in self._artifact.signs}

    def run_all(self, images: Array, sample: Sample | None = None) -> dict[str, Array]:
        """Compute every value of the network, by name; arguments as in `run`."""
        feeds = self._feeds(images, sample)
        values: Any = self._evaluator.run(None, feeds, intermediate=True)
        return dict(values)

    def _feeds(self, images: Array, sample: Sample | None) -> dict[str, Any]:
        if sample is not None and not self._artifact.is_stochastic:
            raise UsageError("the file is deterministic: run it without a sample")
        return {self._input: images, **sampling_feeds(sample)}


def sampling_feeds(sample: Sample | None) -> dict[str, Array]:
    """Return the inputs that choose a sample of a stochastic file, by name; empty for no noise."""
    if sample is None:
        return {}
    return {
        "sample": np.array(sample.index, np.int64),
        "seed": np.array(sample.seed, np.uint64),
        "image_offset": np.array(sample.image_offset, np.int64),
        "antithetic": np.array(sample.antithetic),
    }


def _without_bodies(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove bnnkit's function bodies, so that the references are used instead."""
    others = [function for function in model.functions if function.domain != DOMAIN]
    if len(others) == len(model.functions):
        return model
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.functions[:]
    bare.functions.extend(others)
    return bare
