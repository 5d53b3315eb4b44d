"""The panel kernels of AArch64, with portable operations in place of NEON's own."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from artifacts import ArtifactBuilder
from fuzz_c import of_values

from bnnkit.artifact.format.bits import pack_weight
from bnnkit.artifact.reference import Reference
from bnnkit.errors import ArtifactError
from bnnkit.runtime import Model
from bnnkit.runtime.kernels import panel
from bnnkit.runtime.kernels.records_of_convolutions import ConvolutionRecord, PanelRecord
from bnnkit.runtime.lowering import lower
from bnnkit.runtime.lowering.binary_layers import _kernel_weight
from bnnkit.runtime.lowering.kernel_forms import KernelForms, forms_of_this_cpu
from bnnkit.runtime.memory import weights
from bnnkit.runtime.memory.bounds import check_record
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.packed_weight import PackedWeight
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.steps.convolution import Convolution

TESTS = Path(__file__).parent


def in_panels() -> KernelForms:
    return replace(forms_of_this_cpu(), binary="panel")


@pytest.mark.parametrize(("channels", "words"), [(1, 1), (8, 2), (9, 3), (20, 8)])
def test_the_layout_of_weights(channels: int, words: int) -> None:
    rng = np.random.default_rng(channels)
    weight = rng.integers(-(2**63), 2**63, (channels, words))
    got = weights.lanes(weight)
    steps = (words + 1) // 2
    place = 0
    for block in range((channels + 7) // 8):
        for half in range(2):
            for step in range(steps):
                for channel in range(8 * block + 4 * half, 8 * block + 4 * half + 4):
                    for word in (2 * step, 2 * step + 1):
                        is_there = channel < channels and word < words
                        assert got[place] == (weight[channel, word] if is_there else 0)
                        place += 1
    assert place == len(got)


def test_limits_of_counts() -> None:
    taps = 100
    thresholds = np.concatenate([np.arange(-taps - 2, taps + 3), [-(2**31), 2**31 - 1]])
    table = weights.panel_limits(np.full((1, len(thresholds)), taps), thresholds)
    counts = np.arange(taps + 1)
    want = (taps - 2 * counts[:, None]) < thresholds
    assert ((counts[:, None] >= table[0, : len(thresholds)]) == want).all()
    assert (table[0, len(thresholds) :] == 65535).all()


@pytest.mark.parametrize(("taps", "dtype"), [(65534, np.int64), (65535, np.uint64)])
def test_counts_beyond_16_bits_are_left_to_other_kernels(taps: int, dtype: type) -> None:
    packed = PackedWeight(packed=pack_weight(np.ones((1, taps), np.int8)), shape=(1, 1, 1, taps))
    assert _kernel_weight(packed, in_panels())[0].dtype == dtype


def bound_layer() -> tuple[Memory, PanelRecord, ConvolutionRecord]:
    """A convolution with pooling, bound to a memory of its own."""
    a = ArtifactBuilder(0)
    sums = a.binary_conv2d(a.sign("x"), 64, 16, pads=(1, 1, 1, 1))
    pooled = a.add("MaxPool", sums, kernel_shape=[2, 2], strides=[2, 2])
    plan = Plan(a.artifact((64, 4, 6), pooled).graph, forms=in_panels())
    memory = Memory(plan.values, 1, 1)
    (step,) = (step for step in plan.steps if isinstance(step, Convolution))
    address = step.bind(memory).record
    (stored,) = (stored for stored in memory._records if stored.ctypes.data == address)
    record = PanelRecord(*stored.tolist())
    return memory, record, memory.record_at(record.convolution)


@pytest.mark.parametrize("field", ["right", "down", "capacity"])
def test_panels_that_leave_their_buffers_are_refused(field: str) -> None:
    memory, record, _ = bound_layer()
    check_record(memory, record)
    wrong = record._replace(**{field: getattr(record, field) + 100_000})
    with pytest.raises(ArtifactError, match="a kernel would access the bytes"):
        check_record(memory, wrong)


def test_a_pooled_layer_has_the_pixels_of_its_output() -> None:
    _, record, convolution = bound_layer()
    assert (convolution.rows, convolution.columns) == (2, 3)
    assert record.right == 8
    assert convolution.x_pixel == 16
    assert record.down == convolution.x_row // 2
    assert record.steps == 5
    assert record.panel == panel.HEADER + 5 * 64


@pytest.mark.slow
def test_signs_and_sums_in_panels() -> None:
    """41 steps, an odd number of words, a last panel that is not whole, zeros as padding."""
    a = ArtifactBuilder(1)
    source = a.sign("x")
    signs, sums = (
        a.binary_conv2d(source, 520, 20, pads=(1, 1, 1, 1), thresholds=thresholds)
        for thresholds in (True, False)
    )
    x = a.rng.standard_normal((3, 520, 3, 3)).astype(np.float32)
    model = a.artifact((520, 3, 3), signs, sums)
    plan = Plan(model.graph, forms=in_panels())
    for threads in (1, 2, 3):
        bound = plan.bind(len(x), threads)
        np.copyto(bound.memory.buffers["x"], x)
        bound.run()
        for name, want in zip((signs, sums), Reference(model).run(x), strict=True):
            np.testing.assert_array_equal(plan.read(name, bound.memory), want)


@pytest.mark.slow
@pytest.mark.parametrize("pool", [0, 2])
def test_a_noisy_row_wider_than_the_cache(pool: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image of one row, of more pixels than the panels that the cache holds."""
    a = ArtifactBuilder(2)
    source = a.stochastic_sign("x", channels=256)
    sums = a.binary_conv2d(source, 256, 9, (1, 3), pads=(0, 1, 0, 1), thresholds=False)
    real = a.to_real(a.noisy_sum(sums, 9, 31, pool=pool))
    model = of_values(a.artifact((256, max(pool, 1), 400), real))
    x = a.rng.standard_normal((1, *model.graph.input_shape)).astype(np.float32)
    want = Model(model).predict(x, samples=1, seed=1)
    monkeypatch.setitem(vars(lower), "forms_of_this_cpu", in_panels)
    np.testing.assert_array_equal(Model(model).predict(x, samples=1, seed=1), want)


@pytest.mark.slow
@pytest.mark.parametrize("udot", ["", "1"], ids=["bytes", "udot"])
def test_whole_networks_in_panels(udot: str, tmp_path: Path) -> None:
    """Tests of the runtime in a process whose plans use panels."""
    chosen = ["test_convolution.py", "test_limited_sums.py"]
    if not udot:  # noise is drawn of the same sums
        chosen.append("test_sampling_runtime.py")
    run = subprocess.run(
        [
            sys.executable,
            *["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "panel_kernels", "-m"],
            "",
            *chosen,
        ],
        cwd=TESTS,
        env=os.environ
        | {
            "BNNKIT_TEST_UDOT": udot,
            "BNNKIT_CACHE_DIR": str(tmp_path),
            "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:]
    assert "passed" in run.stdout
    made = {path.name.split("-")[0] for path in tmp_path.rglob("*_to_*")}
    assert {"panels_to_signs", "panels_to_sums", "panels_to_reals"} <= made
    assert udot or {"panels_to_sampled_signs", "panels_to_sampled_pooled_signs"} <= made
    integer = "quads" if udot else "shorts"
    assert {f"{integer}_to_signs", f"{integer}_to_sums"} <= made
