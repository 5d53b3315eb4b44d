"""All tensors of a model, wherever ONNX can store one, and those whose numbers are elsewhere."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import onnx


def tensors_of(model: Any) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of a `ModelProto` or a part of it.

    Besides initializers, these are attributes of nodes and functions, sparse tensors, and the
    graphs of branches and of the training.
    """
    if isinstance(model, onnx.TensorProto):
        yield model
        return
    for name in _fields_with_tensors(model.DESCRIPTOR):
        content = getattr(model, name)
        if not hasattr(content, "DESCRIPTOR"):  # a list
            for part in content:
                yield from tensors_of(part)
        elif model.HasField(name):
            yield from tensors_of(content)


def is_external(tensor: onnx.TensorProto) -> bool:
    """Return whether the numbers of a tensor are in another file."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data) > 0


@cache
def _fields_with_tensors(message: Any) -> tuple[str, ...]:
    """Return the fields of a message that can hold tensors, at any depth."""
    return tuple(
        field.name
        for field in message.fields
        if field.message_type is not None and _can_hold_tensors(field.message_type)
    )


@cache
def _can_hold_tensors(message: Any) -> bool:
    waiting, seen = [message], set()
    while waiting:
        kind = waiting.pop()
        if kind == onnx.TensorProto.DESCRIPTOR:
            return True
        if kind not in seen:
            seen.add(kind)
            waiting += [field.message_type for field in kind.fields if field.message_type]
    return False
