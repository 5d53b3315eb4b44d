"""Damage done to the ONNX files of artifacts, to the parts that a reader interprets.

`damaged(seed, number)` is the same file each time. One to three parts of an example are changed:
attributes, constants, edges, types, nodes, or bytes. `damaged_windows` changes the geometry of
windows alone, with numbers near valid ones too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx_examples import examples

Random = np.random.Generator

_WORDS = (
    *(0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 63, 64, 65, 127, 255, 256, 1000, 4096, 30000, -2, -3, -300),
    *(1 << 15, 1 << 16, 1 << 18, 1 << 20, 1 << 24, 1 << 30, (1 << 31) - 1, 1 << 31, -(1 << 31)),
    *(1 << 32, 1 << 40, 1 << 53, 1 << 62, (1 << 63) - 1, -(1 << 63), -(1 << 40)),
)
_SMALL = (0, 1, 2, 3, 4, 5, 7, 8, 9, -1, -2, 16, 31, 33, 64, 100)
_WINDOW = ("strides", "pads", "dilations", "kernel_shape", "group", "weight_shape", "blocksize")
_NAMES = (
    *_WINDOW,
    *("axis", "axes", "ceil_mode", "count_include_pad", "auto_pad", "keepdims", "perm", "to"),
    *("layer", "epsilon", "alpha", "beta", "transA", "transB", "mode", "storage_order", "unheard"),
)
_TYPES = (
    *(TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.INT16),
    *(TensorProto.INT32, TensorProto.INT64, TensorProto.DOUBLE, TensorProto.BOOL),
    *(TensorProto.FLOAT16, TensorProto.UINT64, TensorProto.BFLOAT16, TensorProto.STRING, 0, 99),
)


_ATTRIBUTE_TYPES = {"value_ints": AttributeProto.INTS}
"""Of attributes whose lists may be empty."""


def damaged(seed: int, number: int) -> tuple[str, bytes]:
    """What was damaged, and the content of the file."""
    rng = np.random.default_rng([seed, number])
    place = int(rng.integers(len(examples())))
    model = _copy(place)
    if rng.random() < 0.5:
        _forget_types(model)
    kinds = [_pick(rng, _KINDS) for _ in range(int(rng.choice([1, 1, 1, 2, 2, 3])))]
    for kind in kinds:
        kind(rng, model)
    content = model.SerializeToString()
    if rng.random() < 0.03:
        content = _bytes(rng, content)
    return f"example {place}: {', '.join(kind.__name__[1:] for kind in kinds)}", content


def damaged_windows(seed: int, number: int) -> tuple[str, bytes]:
    """The same, of attributes of windows alone."""
    rng = np.random.default_rng([seed, number, 1])
    place = int(_pick(rng, [i for i in range(len(examples())) if _windows(examples()[i])]))
    model = _copy(place)
    nodes = _windows(model)
    for _ in range(int(rng.choice([1, 1, 2, 3, 4]))):
        node = _pick(rng, nodes)
        _numbers(rng, _pick(rng, [a for a in node.attribute if a.name in _WINDOW]))
    if rng.random() < 0.8:
        _forget_types(model)
    return f"example {place}: windows", model.SerializeToString()


def _windows(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that have attributes of windows."""
    return [n for n in model.graph.node if any(a.name in _WINDOW for a in n.attribute)]


def _copy(place: int) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(examples()[place])
    return model


def _forget_types(model: onnx.ModelProto) -> None:
    """Remove the types that the file states, which would give most damage away."""
    del model.graph.value_info[:]
    for value in model.graph.output:
        for axis in value.type.tensor_type.shape.dim:
            axis.dim_param = "free"


def _pick(rng: Random, items: Any) -> Any:
    return items[int(rng.integers(len(items)))]


def _word(rng: Random) -> int:
    return int(_pick(rng, _SMALL if rng.random() < 0.6 else _WORDS))


def _numbers(rng: Random, attribute: AttributeProto) -> None:
    """Change a number of an attribute, or how many it has."""
    if attribute.type == AttributeProto.INT:
        attribute.i = _word(rng)
    elif attribute.type == AttributeProto.INTS and attribute.ints:
        place = int(rng.integers(len(attribute.ints)))
        case = rng.random()
        if case < 0.6:
            attribute.ints[place] = _word(rng)
        elif case < 0.75:
            attribute.ints[place] = max(
                -(1 << 63), attribute.ints[place] + int(_pick(rng, [1, -1]))
            )
        elif case < 0.85:
            attribute.ints[:] = [_word(rng) for _ in attribute.ints]
        elif case < 0.95:
            del attribute.ints[place]
        else:
            attribute.ints.append(_word(rng))
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = float(_pick(rng, [0, -1, 1e30, np.inf, np.nan, 1e-40]))


def _attribute(rng: Random, model: onnx.ModelProto) -> None:
    node = _pick(rng, [n for n in model.graph.node if n.attribute] or list(model.graph.node))
    case = rng.random()
    if case < 0.7 and node.attribute:
        _numbers(rng, _pick(rng, node.attribute))
    elif case < 0.8 and node.attribute:
        del node.attribute[int(rng.integers(len(node.attribute)))]
    elif case < 0.85 and node.attribute:
        node.attribute.append(_pick(rng, node.attribute))
    else:
        value: Any = _pick(rng, [_word(rng), [_word(rng), _word(rng)], [1, 1, 1, 1], 0.5, "SAME"])
        node.attribute.append(helper.make_attribute(str(_pick(rng, _NAMES)), value))


def _constant(rng: Random, model: onnx.ModelProto) -> None:
    """Change the shape, the type or the numbers of a constant, with its bytes or without."""
    if not model.graph.initializer:
        _attribute(rng, model)
        return
    tensor = _pick(rng, model.graph.initializer)
    case = rng.random()
    try:
        array = numpy_helper.to_array(tensor)
    except (KeyError, TypeError, ValueError):  # damaged already
        case = 0.0
    if case < 0.25:
        _reshape(rng, tensor)
    elif case < 0.4:
        tensor.data_type = int(_pick(rng, _TYPES))
    elif case < 0.55:
        to = np.dtype(_pick(rng, ["f4", "u1", "i1", "i2", "i4", "i8", "f8", "?", "f2", "u8"]))
        with np.errstate(all="ignore"):
            _store(tensor, array.astype(to))
    elif case < 0.7:
        flat = np.resize(
            array.reshape(-1), max(0, array.size + int(_pick(rng, [-8, -1, 1, 8, 64])))
        )
        _store(tensor, flat if rng.random() < 0.5 else flat.reshape(-1, *(1,) * (array.ndim - 1)))
    elif case < 0.95:
        _store(tensor, _changed(rng, array))
    else:
        tensor.raw_data = tensor.raw_data[: int(rng.integers(len(tensor.raw_data) + 1))]


def _reshape(rng: Random, tensor: TensorProto) -> None:
    dims = list(tensor.dims)
    case = rng.random()
    if case < 0.4 and dims:
        dims[int(rng.integers(len(dims)))] = _word(rng)
    elif case < 0.6:
        dims = [int(n) for n in rng.permutation(dims)]
    elif case < 0.8:
        dims.insert(0, 1)
    elif dims:
        dims.pop()
    tensor.dims[:] = dims


def _changed(rng: Random, array: NDArray[Any]) -> NDArray[Any]:
    changed = array.copy()
    if not array.size:
        return changed
    place = np.unravel_index(int(rng.integers(array.size)), array.shape)
    if array.dtype.kind == "f":
        changed[place] = _pick(rng, [0, -1, np.inf, -np.inf, np.nan, 1e38])
    elif array.dtype.kind in "iu":
        ends = np.iinfo(array.dtype)
        changed[place] = min(max(_word(rng), ends.min), ends.max)
    return changed


def _store(tensor: TensorProto, array: NDArray[Any]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(array), tensor.name))


def _constant_node(rng: Random, model: onnx.ModelProto) -> None:
    """Make a constant the result of a node, by an attribute that suits it or does not."""
    graph = model.graph
    if not graph.initializer:
        _attribute(rng, model)
        return
    place = int(rng.integers(len(graph.initializer)))
    tensor = graph.initializer[place]
    values: list[tuple[str, Any]] = [
        ("value", tensor),
        ("value_ints", [_word(rng) for _ in range(int(rng.integers(4)))]),
        ("value_int", _word(rng)),
        ("value_floats", [0.5, -1.0]),
        ("value_string", "text"),
        ("value_strings", ["a", "b"]),
        ("sparse_value", onnx.SparseTensorProto(values=tensor, dims=[4])),
        ("unheard", 1),
    ]
    name, value = values[0] if rng.random() < 0.4 else _pick(rng, values)
    node = helper.make_node("Constant", [], [tensor.name])
    node.attribute.append(helper.make_attribute(name, value, attr_type=_ATTRIBUTE_TYPES.get(name)))
    if rng.random() < 0.1:
        node.attribute.append(helper.make_attribute("value_int", 3))
    nodes = [node, *graph.node]
    del graph.node[:], graph.initializer[place]
    graph.node.extend(nodes)


def _edge(rng: Random, model: onnx.ModelProto) -> None:
    graph = model.graph
    node = _pick(rng, graph.node)
    names = [
        *(tensor.name for tensor in graph.initializer),
        *(name for other in graph.node for name in other.output),
        *(value.name for value in graph.input),
    ]
    case = rng.random()
    if case < 0.6 and node.input:
        node.input[int(rng.integers(len(node.input)))] = str(_pick(rng, names))
    elif case < 0.7 and node.input:
        node.input[:] = [str(name) for name in rng.permutation(list(node.input))]
    elif case < 0.8 and node.input:
        del node.input[int(rng.integers(len(node.input)))]
    elif case < 0.85:
        node.input.append(str(_pick(rng, [*names, ""])))
    elif case < 0.9 and node.input:
        node.input[int(rng.integers(len(node.input)))] = ""
    elif case < 0.95:
        graph.output[0].name = str(_pick(rng, names))
    else:
        node.output[0] = str(_pick(rng, [*names, "other"]))


def _type(rng: Random, model: onnx.ModelProto) -> None:
    """Change a type that the file states."""
    graph = model.graph
    value = _pick(rng, [*graph.input, *graph.output, *graph.value_info])
    tensor = value.type.tensor_type
    case = rng.random()
    if case < 0.3:
        tensor.elem_type = int(_pick(rng, _TYPES))
    elif case < 0.8 and tensor.shape.dim:
        _pick(rng, tensor.shape.dim).dim_value = _word(rng)
    elif case < 0.9 and tensor.shape.dim:
        del tensor.shape.dim[int(rng.integers(len(tensor.shape.dim)))]
    else:
        tensor.shape.dim.add().dim_value = _word(rng)


def _node(rng: Random, model: onnx.ModelProto) -> None:
    nodes = model.graph.node
    place = int(rng.integers(len(nodes)))
    case = rng.random()
    if case < 0.5:
        other = _pick(rng, nodes)
        nodes[place].op_type, nodes[place].domain = other.op_type, other.domain
    elif case < 0.7:
        kinds = ("Identity", "Relu", "Flatten", "Sum", "Cos", "Erf", "GlobalMaxPool", "ArgMax")
        nodes[place].op_type, nodes[place].domain = str(_pick(rng, kinds)), ""
    elif case < 0.8:
        del nodes[place]
    elif case < 0.9:
        nodes.append(nodes[place])
    else:
        nodes[place].domain = str(_pick(rng, ["", "bnnkit", "ai.onnx", "other"]))


def _version(rng: Random, model: onnx.ModelProto) -> None:
    case = rng.random()
    if case < 0.5:
        model.opset_import[0].version = int(_pick(rng, [1, 9, 12, 13, 14, 17, 18, 19, 22, 99, -1]))
    elif case < 0.8:
        model.ir_version = int(_pick(rng, [0, 3, 8, 11, 99]))
    elif model.metadata_props:
        _pick(rng, model.metadata_props).value = str(_pick(rng, ["", "samples", "deterministic"]))


def _bytes(rng: Random, content: bytes) -> bytes:
    """Change, drop or add bytes of the file."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(len(changed)))
        if rng.random() < 0.8:
            changed[place] = int(rng.integers(256))
        else:
            del changed[place : place + int(rng.integers(1, 40))]
    return bytes(changed)


_KINDS: tuple[Callable[[Random, onnx.ModelProto], None], ...] = (
    *(_attribute,) * 4,
    *(_constant,) * 4,
    *(_edge,) * 3,
    *(_type,) * 2,
    _constant_node,
    *(_node,) * 2,
    _version,
)
