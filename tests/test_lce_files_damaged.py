"""TFLite files that are damaged, hostile, or hold what bnnkit lacks: errors of one line."""

import struct
from pathlib import Path

import numpy as np
import pytest
from flatbuffers import flexbuffers

import bnnkit.runtime as rt
from bnnkit.errors import ArtifactError, BnnkitError, UnsupportedError
from bnnkit.runtime.from_tflite import from_tflite
from bnnkit.tflite.flexbuffer import read_map
from bnnkit.tflite.network import Network, Operator, Tensor
from bnnkit.tflite.read_flatbuffer import Buffer
from bnnkit.tflite.schema import Builtin, TensorType
from bnnkit.tflite.slots import ModelSlot, OperatorSlot, SubGraphSlot
from bnnkit.tflite.write import write

LCE = Path(__file__).parent / "data" / "lce"
SHAPE = (1, 4, 4, 32)
WORDS = (1, 4, 4, 1)
POOL = {
    "padding": 0,
    "stride_width": 1,
    "stride_height": 1,
    "filter_width": 2,
    "filter_height": 2,
}


def test_truncated_files(tmp_path: Path) -> None:
    content = (LCE / "packed.tflite").read_bytes()
    path = tmp_path / "short.tflite"
    for size in range(8, len(content) - 32, 331):
        path.write_bytes(content[:size])
        with pytest.raises(BnnkitError, match=r"short\.tflite"):
            rt.load(path)


def real(name: str, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return Tensor(name=name, type=TensorType.FLOAT32, shape=shape)


def words(name: str, shape: tuple[int, ...] = WORDS) -> Tensor:
    return Tensor(name=name, type=TensorType.INT32, shape=shape)


def numbers(array: object) -> Tensor:
    data = np.asarray(array, np.float32)
    return Tensor(name="c", type=TensorType.FLOAT32, shape=data.shape, data=data.tobytes())


def flex(numbers: dict[str, object]) -> bytes:
    return bytes(flexbuffers.Dumps(numbers))


def operator(code: Builtin | str, *places: int, custom: bytes = b"") -> Operator:
    *inputs, output = places
    return Operator(code=code, inputs=tuple(inputs), outputs=(output,), custom_options=custom)


def network(
    tensors: list[Tensor],
    operators: list[Operator],
    *,
    inputs: tuple[int, ...] = (0,),
    outputs: tuple[int, ...] | None = None,
) -> Network:
    last = (len(tensors) - 1,) if outputs is None else outputs
    return Network(
        tensors=tuple(tensors),
        operators=tuple(operators),
        inputs=inputs,
        outputs=last,
        description="bnnkit 0",
    )


def test_every_builtin_has_its_name() -> None:
    """All 207 codes of schema.fbs; a name would be a number without."""
    assert [int(code) for code in Builtin] == list(range(207))
    assert (Builtin.GELU, Builtin.SIGN, Builtin.RESIZE_BILINEAR) == (150, 158, 23)


def unaligned(code: Builtin, shape: tuple[int, ...], constant: object) -> Network:
    """An operator whose constant is not of the kind that it wants."""
    return network([real("x"), numbers(constant), real("y", shape)], [operator(code, 0, 1, 2)])


QUANTIZE = operator("LceQuantize", 0, 1)
BAD: dict[str, tuple[Network, type[BnnkitError], str]] = {
    "unknown operator": (
        network([real("x"), words("s"), real("y")], [QUANTIZE, operator("LceOther", 1, 2)]),
        UnsupportedError,
        r"operator 1 \(LceOther\): bnnkit lacks this, build the network without it",
    ),
    "builtin that is lacking": (
        network(
            [real("x"), *(real(f"y{i}") for i in range(7))],
            [operator(Builtin.CUMSUM, 0, 1), operator(Builtin.CONV_3D, 0, 2)]
            + [operator(Builtin.CUMSUM, 0, 3 + i) for i in range(4)],
        ),
        UnsupportedError,
        r"operators 0, 2, 3, 4 and others \(CUMSUM\); operator 1 \(CONV_3D\): bnnkit lacks",
    ),
    "unknown option": (
        network(
            [real("x"), words("s"), words("p")],
            [QUANTIZE, operator("LceBMaxPool2d", 1, 2, custom=flex({**POOL, "more": 1}))],
        ),
        UnsupportedError,
        r"operator 1 \(LceBMaxPool2d\): unknown options more",
    ),
    "missing option": (
        network(
            [real("x"), words("s"), words("p")],
            [QUANTIZE, operator("LceBMaxPool2d", 1, 2, custom=flex({"padding": 0}))],
        ),
        ArtifactError,
        "the options lack filter_height",
    ),
    "stride of 0": (
        network(
            [real("x"), words("s"), words("p")],
            [QUANTIZE, operator("LceBMaxPool2d", 1, 2, custom=flex({**POOL, "stride_width": 0}))],
        ),
        ArtifactError,
        "strides and dilations of 1 to 32768, got 0",
    ),
    "window that is mostly padding": (
        network(
            [real("x"), words("s"), words("p")],
            [
                QUANTIZE,
                operator(
                    "LceBMaxPool2d",
                    1,
                    2,
                    custom=flex({**POOL, "filter_width": 2000, "filter_height": 2000}),
                ),
            ],
        ),
        UnsupportedError,
        "a value of .* numbers for an image is more than .* that bnnkit takes",
    ),
    "option that is text": (
        network(
            [real("x"), words("s"), words("p")],
            [QUANTIZE, operator("LceBMaxPool2d", 1, 2, custom=flex({**POOL, "padding": "SAME"}))],
        ),
        ArtifactError,
        "not an integer",
    ),
    "cycle": (
        network(
            [real("x"), real("a"), real("b")],
            [operator(Builtin.ADD, 0, 2, 1), operator(Builtin.ADD, 0, 1, 2)],
        ),
        ArtifactError,
        "the tensor .b. is not computed before it is read",
    ),
    "computed twice": (
        network([real("x"), real("y")], [operator(Builtin.RELU, 0, 1)] * 2),
        ArtifactError,
        "'y' is computed twice",
    ),
    "over its own input": (
        network([real("x"), real("y")], [operator(Builtin.RELU, 0, 0)]),
        ArtifactError,
        "'x' is computed twice",
    ),
    "output that is not computed": (
        network([real("x"), real("y")], []),
        ArtifactError,
        "the output 'y' is not computed",
    ),
    "wrong shape": (
        network([real("x"), words("s", (1, 4, 4, 2))], [QUANTIZE]),
        ArtifactError,
        r"expected the tensor 's' of shape \(1, 4, 4, 1\)",
    ),
    "constant of a wrong length": (
        network(
            [
                real("x"),
                Tensor(name="c", type=TensorType.FLOAT32, shape=(32,), data=b"\0" * 124),
                real("y"),
            ],
            [operator(Builtin.ADD, 0, 1, 2)],
        ),
        ArtifactError,
        "expected 128 bytes, got 124",
    ),
    "huge map": (
        network([real("x", (1, 30000, 30000, 3)), words("s", (1, 30000, 30000, 1))], [QUANTIZE]),
        UnsupportedError,
        "2700000000 numbers for an image is more",
    ),
    "mixes images": (
        network([real("x", (2, 4)), real("y", (8, 1))], [operator(Builtin.RESHAPE, 0, 1)]),
        UnsupportedError,
        "same batch",
    ),
    "two inputs": (
        network([real("x"), real("y")], [], inputs=(0, 1)),
        UnsupportedError,
        "this is a sampled TFLite file of bnnkit's exporter: bnnkit runs the .onnx",
    ),
    "no tensor": (
        network([real("x"), real("y")], [operator(Builtin.RELU, 0, 7)]),
        ArtifactError,
        "operator 0 refer to tensor 7 of 2",
    ),
    "axes that are no whole numbers": (
        unaligned(Builtin.MEAN, (1, 32), [1.0, 2.0]),
        ArtifactError,
        r"operator 0 \(MEAN\): expected input 1 of integers, got float32",
    ),
    "weights of too few axes": (
        unaligned(Builtin.CONV_2D, SHAPE, np.ones((4, 32))),
        ArtifactError,
        r"expected weights of 4 axes, got \(4, 32\)",
    ),
    "constants only": (
        network(
            [real("x", (1, 2)), numbers([1.0]), real("y", (1, 2))],
            [operator(Builtin.FILL, 0, 1, 2)],
        ),
        UnsupportedError,
        r"operator 0 \(FILL\): bnnkit has this operator for constants only",
    ),
    "vast shape without elements": (
        network([real("x"), real("c", (0, 1 << 30, 1 << 30)), real("y")], []),
        ArtifactError,
        "its shape is",
    ),
    "other constants for each image": (
        network(
            [real("x", (2, 4)), numbers([[1.0] * 4, [2.0] * 4]), real("y", (2, 4))],
            [operator(Builtin.ADD, 0, 1, 2)],
        ),
        UnsupportedError,
        "the same for each image",
    ),
    "over its own batch": (
        network([real("x", (4,)), real("y", (4,))], [operator(Builtin.SOFTMAX, 0, 1)]),
        UnsupportedError,
        "an axis other than the batch",
    ),
    "many copies of a constant": (
        network(
            [real("x", (1, 9)), numbers(np.ones((1 << 16, 9)))]
            + [real(f"y{i}", (1, 1 << 16)) for i in range(40)],
            [operator(Builtin.FULLY_CONNECTED, 0, 1, -1, 2 + i) for i in range(40)],
        ),
        ArtifactError,
        "read too often",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said(name: str) -> None:
    bad, kind, message = BAD[name]
    with pytest.raises(kind, match=message) as raised:
        from_tflite(write(bad))
    assert "\n" not in str(raised.value)


def test_options_of_another_operator() -> None:
    content = bytearray(
        write(network([real("x"), real("y")], [operator(Builtin.MAX_POOL_2D, 0, 1)]))
    )
    (graph,) = Buffer(bytes(content)).root().tables(ModelSlot.SUBGRAPHS, lambda table: table)
    (pool,) = graph.tables(SubGraphSlot.OPERATORS, lambda table: table)
    place = pool.place(OperatorSlot.OPTIONS_TYPE)
    assert place is not None
    content[place] = 9
    message = r"operator 0 \(MAX_POOL_2D\): expected options of type 5, got type 9"
    with pytest.raises(ArtifactError, match=message):
        from_tflite(bytes(content))


def test_parts_that_lie_over_each_other() -> None:
    """Tables of 4000 entries that all are the one table with a vector of 4000 numbers."""
    count = 4000
    offset_of_table = 4 + 8 + 8 + 4 + 4 * count
    vtable = struct.pack("<4H", 6, 8, 4, 0)
    root = struct.pack("<iI", 8, 4)  # the vector of tables follows
    places = [offset_of_table + 8 - (4 + 8 + 8 + 4 + 4 * i) for i in range(count)]
    vector = struct.pack(f"<I{count}I", count, *places)
    table = vtable + struct.pack("<iI", 8, 4) + struct.pack(f"<I{count}i", count, *range(count))
    buffer = Buffer(struct.pack("<I", 12) + vtable + root + vector + table)
    with pytest.raises(ArtifactError, match="its parts overlap"):
        buffer.root().tables(0, lambda found: found.ints(0))


@pytest.mark.parametrize("data", [b"\x01", b"\x00\x00\x00", b"\xff" * 40, flex({"a": {"b": 1}})])
def test_options_that_are_no_map_of_numbers(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        read_map(data)
