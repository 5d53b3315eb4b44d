"""The float32 twins of binary layers have their sizes, and the table names the faster ones."""

import numpy as np
import pytest
from artifacts import ArtifactBuilder

from bnnkit.bench import float_twins as module
from bnnkit.bench.float_twins import float_twins
from bnnkit.bench.step_times import StepTime
from bnnkit.cli.benchmark_table import _where_it_pays

pytest.importorskip("onnxruntime")


def test_each_binary_layer_has_a_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    a = ArtifactBuilder(1)
    signs = a.binary_conv2d(a.sign("x"), 32, 48, (3, 2), stride=2, pads=(1, 0, 1, 1), dilation=2)
    sliced = a.binary_conv2d(signs, 48, 48, 3, groups=48)
    sums = a.binary_conv2d(sliced, 48, 36, 1, groups=3, thresholds=False)
    pooled = a.add("MaxPool", a.add("Cast", sums, to=1), kernel_shape=(4, 5))
    out = a.binary_linear(a.sign(a.add("Flatten", pooled)), 36, 10)
    model = a.artifact((32, 13, 14), out)
    shapes = []

    def record(twin: object, threads: int, runs: int) -> float:
        nodes = twin.graph  # type: ignore[attr-defined]
        value = nodes.input[0].type.tensor_type.shape.dim
        shapes.append((tuple(d.dim_value for d in value), tuple(nodes.initializer[0].dims)))
        return measure(twin, threads, runs)  # type: ignore[arg-type]

    measure = module._median_us
    monkeypatch.setattr(module, "_median_us", record)
    found = float_twins(model, batch=2, runs=2)
    assert list(found) == [n.name for n in model.model.graph.node if "Binary" in n.op_type]
    assert all(us > 0 for us in found.values())
    # 13 rows padded by 2 give 6 windows of 5 rows, which cover 15.
    assert shapes[0] == ((2, 32, 15, 15), (48, 32, 3, 2))
    assert shapes[1:3] == [((2, 48, 6, 7), (48, 1, 3, 3)), ((2, 48, 4, 5), (36, 16, 1, 1))]
    assert shapes[3] == ((2, 36, 1, 1), (10, 36, 1, 1))


@pytest.mark.parametrize(("us", "is_slower"), [(3.0, False), (5.0, True)])
def test_the_line_names_layers_slower_than_their_twin(us: float, *, is_slower: bool) -> None:
    """The time of a layer is that of all its steps."""
    steps = [StepTime(name="a", step=kind, median_us=us / 2, share=0.1) for kind in ("x", "y")]
    line = _where_it_pays([steps], {"a": 4.0})
    assert ("does not pay in a" in line) == is_slower
    assert np.array_equal("every binary layer is faster" in line, not is_slower)
