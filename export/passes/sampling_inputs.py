"""The inputs of a stochastic artifact that choose its random numbers, each with a default.

An initializer of the same name is the default: a run that gives only images is deterministic.
"""

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.format import SAMPLING_INPUTS


def add_sampling_inputs(graph: ir.Graph) -> None:
    """Add the inputs behind the image; a constant of such a name becomes `name#2`."""
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
    """One of the inputs that `add_sampling_inputs` has added."""
    return next(value for value in graph.inputs if value.name == name)
