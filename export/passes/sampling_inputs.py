"""Inputs of a stochastic artifact that select its random numbers; each has a default.

The default is an initializer of the same name. With the defaults a run is deterministic.
"""

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.format.constants import SAMPLING_INPUTS


def add_sampling_inputs(graph: ir.Graph) -> None:
    """Add the inputs after the image; a constant with the same name is renamed to `name#2`."""
    for name, (element, number) in SAMPLING_INPUTS.items():
        default = np.array(number, element)
        taken = graph.initializers.get(name)
        if taken is not None:
            taken.name = f"{name}#2"
        value = ir.Value(
            name=name,
            type=ir.TensorType(ir.DataType.from_numpy(default.dtype)),
            shape=ir.Shape(()),
            const_value=ir.Tensor(default, name=name),
        )
        graph.inputs.append(value)
        graph.register_initializer(value)


def sampling_input(graph: ir.Graph, name: str) -> ir.Value:
    """An input that `add_sampling_inputs` has added, by name."""
    return next(value for value in graph.inputs if value.name == name)
