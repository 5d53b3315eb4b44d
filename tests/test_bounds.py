"""Records whose kernels would leave their buffers are refused; guard pages end what does leave."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import guard_pages
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx_examples import examples

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.sample import Sample
from bnnkit.errors import ArtifactError
from bnnkit.runtime import Model
from bnnkit.runtime.kernels import records, records_of_convolutions
from bnnkit.runtime.kernels.records import Map, MoveRecord
from bnnkit.runtime.memory.bounds import CHECKS, check_record
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.reach import PlacedMap, check_map, check_reach
from bnnkit.runtime.memory.values import Value

Array = NDArray[Any]
LINES = np.zeros((2, 5, 4), np.float32)
"""Two rows of five pixels of four channels."""


def test_every_kind_of_record_has_a_check() -> None:
    named = {**vars(records), **vars(records_of_convolutions)}
    kinds = {kind for kind in named.values() if isinstance(kind, type)}
    assert {kind for kind in kinds if hasattr(kind, "_fields")} - {Map} == CHECKS.keys()


@pytest.mark.parametrize(
    ("offset", "steps", "size", "is_inside"),
    [
        (0, [(2, 80), (5, 16)], 16, True),
        (0, [(2, 80), (5, 16)], 17, False),
        (0, [(3, 80)], 1, False),
        (0, [(0, 80), (1, 900)], 160, True),
        (-4, [], 4, False),
        (64, [(5, -16)], 16, True),
        (60, [(5, -16)], 16, False),
        (156, [], 4, True),
        (157, [], 4, False),
    ],
)
def test_the_reach_of_loops(
    offset: int, steps: list[tuple[int, int]], size: int, is_inside: bool
) -> None:
    start = LINES.ctypes.data + offset
    if is_inside:
        check_reach(LINES[1:, :2], start, steps, size)  # a part stands for the whole
    else:
        with pytest.raises(ArtifactError, match="a kernel would access the bytes"):
            check_reach(LINES[1:, :2], start, steps, size)


def test_the_reach_of_a_map() -> None:
    m = Map(LINES.ctypes.data, 80, 80, 16, 2, 1, 5, 4)
    check_map(PlacedMap(m, LINES), 16)
    for larger in (m._replace(rows=2), m._replace(columns=6), m._replace(images=3)):
        with pytest.raises(ArtifactError, match="a kernel would access"):
            check_map(PlacedMap(larger, LINES), 16)


def test_a_move_between_maps_of_different_size() -> None:
    """As when a Concat joins maps whose sizes nobody compared."""
    shapes = {"small": (3, 2, 2), "large": (3, 4, 4)}
    values = {name: Value(kind="real", shape=shape) for name, shape in shapes.items()}
    memory = Memory(values, batch=2, threads=1)
    check_record(memory, MoveRecord(memory.map("small"), memory.map("small")))
    with pytest.raises(ArtifactError, match=r"\(2, 4, 4\) and \(2, 2, 2\)"):
        memory.record(MoveRecord(memory.map("large"), memory.map("small")))


@pytest.mark.parametrize("side", ["after", "before"])
@pytest.mark.parametrize(
    "place", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, len(examples())))]
)
def test_whole_files_stay_inside_guard_pages(
    place: int, side: guard_pages.Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Artifact(examples()[place])
    runtime = Model(model)
    rng = np.random.default_rng(place)
    images = rng.integers(0, 3, (5, *runtime.input_shape)).astype(runtime.input_dtype)
    want = _outputs(runtime, images)
    guard_pages.install(monkeypatch.setattr, side)
    for found, expected in zip(_outputs(Model(model), images), want, strict=True):
        np.testing.assert_array_equal(found, expected)


def _outputs(model: Model, images: Array) -> list[Array]:
    """Every output, without noise and with, on one thread and on two."""
    found: list[Array] = []
    for threads in (1, 2):
        results: Any = [model.run(images, threads=threads)]
        if model.is_stochastic:
            sample = Sample(seed=4, index=1)
            results.append(model.run_sample(images, sample, threads=threads))
        for result in results:
            found += result if isinstance(result, tuple) else [result]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("side", "index"), [("after", 7), ("before", -1)])
def test_a_stray_access_ends_the_process(side: str, index: int) -> None:
    code = (
        "import ctypes, guard_pages\n"
        f"numbers = guard_pages.guarded(4096 + 7, alignment=1, side={side!r})\n"
        "numbers[:] = 1\n"
        "print('inside', flush=True)\n"
        f"ctypes.memset(numbers.ctypes.data + (numbers.size if {index} > 0 else {index}), 1, 1)\n"
        "print('outside', flush=True)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "inside\n"
    assert ended.returncode < 0
