"""Torch's exporter, asked once for each network in a test process: each call takes seconds.

A network that is equal in its classes, attributes and tensors gives the same graph, so the tests
get a copy of the one made before. The fixture `fresh_exports` turns that off.
"""

import pickle
from functools import cache
from hashlib import sha256
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import onnx
import onnx_ir as ir
import torch
from torch import nn

ask_torch = torch.onnx.export
_kept: dict[bytes, tuple[onnx.ModelProto, Any]] = {}


def export(model: nn.Module, arguments: tuple[Any, ...], **options: Any) -> Any:
    """As `torch.onnx.export`; of a network that was exported before, only what bnnkit reads."""
    _read_operators_once()
    try:
        key = _key(model, arguments, options)
    except (pickle.PicklingError, AttributeError, TypeError, RuntimeError):
        return ask_torch(model, arguments, **options)  # it has a local class, or no values
    if key in _kept:
        model_proto, structure = _kept[key]
        return SimpleNamespace(
            model=ir.serde.deserialize_model(model_proto), exported_program=structure
        )
    program = ask_torch(model, arguments, **options)
    assert program is not None
    assert program.exported_program is not None
    structure = SimpleNamespace(call_spec=program.exported_program.call_spec)
    _kept[key] = ir.serde.serialize_model(program.model), structure
    return program


def _key(model: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> bytes:
    stream = BytesIO()
    named = options.get("kwargs")
    _Pickler(stream).dump((model, arguments, named))
    others = {key: value for key, value in options.items() if key != "kwargs"}
    return sha256(stream.getvalue() + repr(others).encode()).digest()


class _Pickler(pickle.Pickler):
    """Writes a tensor as its values, and its number, by which shared ones are told apart."""

    def __init__(self, stream: BytesIO) -> None:
        super().__init__(stream)
        self._numbers: dict[int, int] = {}

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return None
        number = self._numbers.setdefault(id(value), len(self._numbers))
        content = value.detach().numpy().tobytes()
        return number, type(value).__name__, str(value.dtype), tuple(value.shape), content


@cache
def _read_operators_once() -> None:
    """Torch's exporter parses the sources of all its operators in every call: a quarter of it.

    It also looks up every operator of C++ once for each namespace.
    """
    from torch._export import utils
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    utils._materialize_cpp_cia_ops = cache(utils._materialize_cpp_cia_ops)
    ONNXRegistry.from_torchlib = staticmethod(cache(ONNXRegistry.from_torchlib))  # type: ignore[method-assign]
