"""Files with a free batch that compute with its size: right for every batch, or refused."""

import numpy as np
import pytest
from onnx_graphs import network, run

from bnnkit.errors import UnsupportedError
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model

RNG = np.random.default_rng(0)
SIGNS = "p = GreaterOrEqual(a, zero) s = Where(p, one, minus) y = Conv(s, w)"
CONSTANTS = {
    "w": RNG.choice([-1.0, 1.0], (4, 6, 3, 3)).astype(np.float32),
    "token": RNG.normal(size=(1, 2, 5, 5)).astype(np.float32),
    "bias": RNG.normal(size=(1, 6, 1, 1)).astype(np.float32),
    "n0": np.array(0),
    "n1": np.array(1),
    "n4": np.array(4),
    "i0": np.array([0]),
    "i1": np.array([1]),
    "i4": np.array([4]),
    "most": np.array([np.iinfo(np.int32).max]),
    "column": np.array([-1, 1]),
    "pixels": np.array([5, 5]),
    "part": np.array([2, 5, 5]),
    "flat": np.array([6, 25]),
    "image": np.array([6, 5, 5]),
    "odd": np.ones(1, np.float32),
}
SIZE = "h = Shape(x) n = Gather(h, i0)"
JOINED = f"{SIZE} k = Concat<axis = 0>(n, part) e = Expand(token, k) c = Slice(x, i0, i4, i1)"
RIGHT = {
    "token in front": f"{JOINED} a = Concat<axis = 1>(e, c)",
    "token behind": f"{JOINED} a = Concat<axis = 1>(c, e)",
    "token repeated": (
        f"{SIZE} k = Concat<axis = 0>(n, i1, i1, i1) e = Tile(token, k) "
        "c = Slice(x, i0, i4, i1) a = Concat<axis = 1>(e, c)"
    ),
    "expanded bias": (f"{SIZE} k = Concat<axis = 0>(n, image) e = Expand(bias, k) a = Add(x, e)"),
    "zeros like": "h = Shape(x) e = ConstantOfShape(h) a = Sub(x, e)",
    "reshaped": (
        f"{SIZE} k = Concat<axis = 0>(n, flat) f = Reshape(x, k) "
        "q = Concat<axis = 0>(n, image) a = Reshape(f, q)"
    ),
    "first images": f"{SIZE} a = Slice(x, i0, n, i0)",
    "all images": "a = Slice(x, i0, most, i0)",
    "pads that are computed": (
        "o = ConstantOfShape(i4) d = Concat<axis = 0>(o, o) b = Cast<to = 7>(d) q = Pad(x, b) "
        "h = Shape(q) n = Gather(h, i0) k = Concat<axis = 0>(n, image) a = Reshape(q, k)"
    ),
    "part of a channel": (
        "h = Shape(x) n = Gather(h, n0) g = Range(n0, n, n1) m = Reshape(g, column) "
        "z = Mul(m, n0) l = Add(z, n4) i = Concat<axis = 1>(m, l) v = Gather(h, i0) "
        "r = Concat<axis = 0>(v, pixels) u = ConstantOfShape(r) a = ScatterND(x, i, u)"
    ),
}


@pytest.mark.parametrize("form", RIGHT)
def test_sizes_of_results(form: str) -> None:
    types = ("float[N, 6, 5, 5] x", "float[N, 4, 3, 3] y")
    source = network(f"{RIGHT[form]} {SIGNS}", *types, CONSTANTS, opset=18)
    artifact, _ = from_onnx(source)
    for n_images in (1, 3):
        x = RNG.normal(size=(n_images, 6, 5, 5)).astype(np.float32)
        want = run(source, x)
        np.testing.assert_array_equal(run(artifact.model, x), want)
        np.testing.assert_array_equal(Model(artifact).run(x), want)


WRONG = {
    "divided": (f"{SIZE} f = Cast<to = 1>(n) a = Div(x, f)", "gives 'a' .Div.* number of images"),
    "count of elements": ("n = Size(x) f = Cast<to = 1>(n) a = Mul(x, f)", "Mul"),
    "positions": (
        "h = Shape(x) n = Gather(h, n0) g = Range(n0, n, n1) f = Cast<to = 1>(g) "
        "q = Reshape(f, column) r = Unsqueeze(q, axes) a = Add(x, r)",
        "Add",
    ),
    "second size": (
        "h = Shape(x) n = Gather(h, i0) m = Mul(n, i4) k = Concat<axis = 0>(m, rest) "
        "q = Reshape(x, k) a = Reshape(q, whole)",
        "Reshape",
    ),
    "branch": (
        f"{SIZE} e = Equal(n, i1) q = Squeeze(e) a = If(q) <then_branch = b () => "
        "(float[N, 6, 5, 5] u) { u = Add(x, odd) }, else_branch = f () => "
        "(float[N, 6, 5, 5] v) { v = Sub(x, odd) }>",
        "chooses a branch by the number of images",
    ),
    "output": ("h = Shape(x) a = Cast<to = 1>(x)", "the output 'h'"),
    "first image": ("f = Slice(x, i0, i1, i0) a = Sub(x, f)", "gives 'f' .Slice.* keep the batch"),
    "four images": ("f = Slice(x, i0, i4, i0) a = Sub(x, f)", "do not fit for a batch of 1009"),
    "one row": (
        "f = Reshape(x, row) m = Softmax<axis = 1>(f) a = Reshape(m, whole)",
        "gives 'f' .Reshape.* keep the batch",
    ),
    "resized batch": (
        'r = Resize<mode = "nearest">(x, , , single) '
        "a = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r)",
        "gives 'r' .Resize.* keep the batch",
    ),
}


@pytest.mark.parametrize("form", WRONG)
def test_numbers_that_depend_on_the_batch_are_refused(form: str) -> None:
    body, words = WRONG[form]
    more = {
        "axes": np.array([2, 3]),
        "rest": np.array([3, 5, 5]),
        "whole": np.array([-1, 6, 5, 5]),
        "row": np.array([1, -1]),
        "single": np.array([1, 6, 10, 10]),
    }
    y = "float[N, 4, 3, 3] y" + (", int64[4] h" if form == "output" else "")
    source = network(f"{body} {SIGNS}", "float[N, 6, 5, 5] x", y, {**CONSTANTS, **more}, opset=18)
    with pytest.raises(UnsupportedError, match=words):
        from_onnx(source)


def test_a_fixed_batch_is_a_number_like_any_other() -> None:
    types = ("float[2, 6, 5, 5] x", "float[2, 4, 3, 3] y")
    source = network(f"{WRONG['divided'][0]} {SIGNS}", *types, CONSTANTS, opset=18)
    x = RNG.normal(size=(2, 6, 5, 5)).astype(np.float32)
    np.testing.assert_array_equal(Model(from_onnx(source)[0]).run(x), run(source, x))
