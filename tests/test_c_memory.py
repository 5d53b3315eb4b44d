"""The memory of exported C: constants, workspace, stack, and what int32 can index."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from artifacts import ArtifactBuilder, noisy_digits_like
from c_networks import STRICT, compile_c, needs_gcc

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.report import report
from bnnkit.errors import UnsupportedError
from bnnkit.runtime import open_artifact
from bnnkit.runtime.c_code import export_c
from bnnkit.runtime.c_code.buffers import Call, place
from bnnkit.runtime.c_code.constants import Constants, float_literal
from bnnkit.runtime.c_code.layers import window_fields
from bnnkit.runtime.c_code.network import network_of
from bnnkit.runtime.memory.values import Value
from bnnkit.runtime.steps.window import KernelWindow
from bnnkit.zoo import ZooModel, zoo


@pytest.mark.slow
@pytest.mark.parametrize("model", zoo(), ids=lambda model: model.name)
def test_constants_take_little_more_than_a_bit_for_each_binary_weight(model: ZooModel) -> None:
    """What benchmarks/c_code.py measures of the compiled code as well."""
    artifact = open_artifact(f"zoo:{model.name}")
    ideal = report(artifact, 0).ideal_bytes
    assert network_of(artifact).constants.nbytes <= 1.03 * ideal + 14 * 1024


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("flags", [("-O0",), ("-O3", "-march=native"), ("-O3", "-DBNN_PORTABLE")])
def test_a_call_needs_no_more_stack_than_the_header_says(
    flags: tuple[str, ...], tmp_path: Path
) -> None:
    report = export_c(noisy_digits_like()[0], tmp_path)
    source, places = tmp_path / "bnn.c", tmp_path / "bnn.o"
    compile_c(["gcc", *STRICT, *flags, "-fstack-usage", "-c", source, "-o", places])
    rows = [line.split("\t") for line in (tmp_path / "bnn.su").read_text().splitlines()]
    frames = {row[0].rpartition(":")[2]: int(row[1]) for row in rows}
    with_workspace = [frames.pop(name) for name in ("bnn_run", "bnn_predict")]
    assert sum(frames.values()) < report.stack_bytes  # no function calls itself
    assert max(with_workspace) < report.workspace_bytes + 256
    assert f"_STACK_BYTES {report.stack_bytes} " in (tmp_path / "bnn.h").read_text()


def _mean_of_halves(height: int, width: int) -> Artifact:
    """A network that needs a value as large as its input, and one number."""
    a = ArtifactBuilder()
    halves = a.add("Mul", "x", a.constant(np.float32(0.5)))
    return a.artifact((1, height, width), a.add("GlobalAveragePool", halves))


def test_values_and_workspaces_beyond_int32_are_refused() -> None:
    largest = network_of(_mean_of_halves(16, 2**25 - 1))
    assert largest.workspace_bytes == 2**31 - 48
    with pytest.raises(UnsupportedError, match=r"lacks a workspace of more than 2,147,483,647 b"):
        network_of(_mean_of_halves(233, 2304167))  # 2**31 - 4 bytes
    with pytest.raises(UnsupportedError, match=r"lacks values of more than 2,147,483,647 bytes"):
        network_of(_mean_of_halves(16, 2**25))


def test_windows_beyond_int32_are_refused() -> None:
    source = Value(kind="real", shape=(1, 4, 4))
    window = KernelWindow(
        size=(2, 2), stride=(1, 1), dilation=(1, 1), padding=(0, 0), output=(2, 2)
    )
    far = 2**31 - 2
    assert window_fields(source, replace(window, dilation=(far, 1)), 4)["row_step"] == far
    beyond: Sequence[dict[str, Any]] = (
        {"dilation": (1, far + 1)},
        {"padding": (2**31, 0)},
        {"stride": (2**31, 1)},
    )
    for wide in beyond:
        with pytest.raises(UnsupportedError, match=r"a window that reaches 2\^31 pixels or more"):
            window_fields(source, replace(window, **wide), 4)


def test_values_that_are_used_at_different_times_share_memory() -> None:
    chain = ["a", "b", "c", "d"]
    calls = [
        Call(code="", operands={}, reads=(x,), writes=(y,)) for x, y in pairwise(["x", *chain])
    ]
    offsets, nbytes = place(calls, dict.fromkeys(chain, 100), {"d"})
    assert nbytes == 212  # two buffers, the second at a multiple of 16
    assert all(offsets[x] != offsets[y] for x, y in pairwise(chain))
    in_place = [replace(call, replaces=(call.reads[0], call.writes[0])) for call in calls]
    assert place(in_place, dict.fromkeys(chain, 100), {"d"}) == (dict.fromkeys(chain, 0), 100)
    # A value that is read later keeps its memory.
    later = Call(code="", operands={}, reads=("a",), writes=("e",))
    offsets, _ = place([*in_place, later], dict.fromkeys([*chain, "e"], 100), {"e"})
    assert offsets["a"] != offsets["b"]


def test_constants_are_stored_once() -> None:
    constants = Constants()
    numbers = np.arange(3, dtype=np.int16)
    assert constants.array(numbers) == constants.array(numbers.copy())
    assert constants.array(numbers.astype(np.int32)) != constants.array(numbers)
    assert constants.nbytes == 6 + 12


@pytest.mark.parametrize("bits_", [0x00000001, 0x3F800001, 0x80000000, 0x7F7FFFFF])
def test_float_literals_keep_their_bits(bits_: int) -> None:
    number = np.array([bits_], np.uint32).view(np.float32)[0]
    literal = float_literal(float(number))
    assert literal.endswith("f")
    assert np.float32(float.fromhex(literal[:-1])).view(np.uint32) == bits_
