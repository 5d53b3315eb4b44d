"""Operators that copy maps to other places: kernels, with the bits of ONNX Runtime."""

from typing import Any

import numpy as np
import pytest
from against_reference import kinds
from onnx_graphs import Array, network, run

from bnnkit.artifact.artifact import Artifact
from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model

RNG = np.random.default_rng(0)
SIGN = "p = GreaterOrEqual(a, zero) s = Where(p, one, minus)"


def signs(*shape: int) -> Array:
    weight: Array = RNG.choice([-1.0, 1.0], shape).astype(np.float32)
    return weight


def check(body: str, shape: tuple[int, ...], y: str, constants: dict[str, Any]) -> list[str]:
    """Compare a converted graph with itself in ONNX Runtime; return the kinds of steps."""
    sizes = ", ".join(map(str, shape))
    source = network(body, f"float[N, {sizes}] x", f"float[N, {y}] y", constants)
    artifact = from_onnx(source)[0] if SIGN in body else Artifact(source)
    x = RNG.normal(size=(3, *shape)).astype(np.float32)
    want = run(source, x)
    for threads in (1, 2):
        np.testing.assert_array_equal(Model(artifact).run(x, threads=threads), want)
    return kinds(artifact)


@pytest.mark.parametrize("channels", [(1, 2), (63, 2), (64, 65), (70, 130), (3, 61, 64)])
def test_signs_of_joined_maps_are_joined_signs(channels: tuple[int, ...]) -> None:
    total = sum(channels)
    parts = " ".join(f"v{i} = Conv(x, w{i})" for i in range(len(channels)))
    joined = ", ".join(f"v{i}" for i in range(len(channels)))
    body = f"{parts} a = Concat<axis = 1>({joined}) {SIGN} y = Conv(s, last)"
    # Multiples of 1/2, so that sums are exact in every order.
    constants: dict[str, Any] = {
        f"w{i}": RNG.integers(-4, 5, (n, 2, 1, 1)).astype(np.float32) / 2
        for i, n in enumerate(channels)
    }
    constants["last"] = signs(5, total, 1, 1)
    found = check(body, (2, 3, 5), "5, 3, 5", constants)
    assert found.count("CopySigns") == len(channels)
    assert "PlaceReals" not in found


ENLARGED = (
    'Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric",'
    ' nearest_mode = "floor">'
)


@pytest.mark.parametrize("scales", [(2, 2), (3, 1), (1, 4)])
def test_repeated_pixels(scales: tuple[int, int]) -> None:
    rows, columns = 3 * scales[0], 5 * scales[1]
    body = f"b = Mul(x, half) y = {ENLARGED}(b, , scales)"
    constants = {"scales": np.array([1, 1, *scales], np.float32)}
    found = check(body, (3, 3, 5), f"3, {rows}, {columns}", constants)
    assert found.count("PlaceReals") == scales[0] * scales[1]


@pytest.mark.parametrize("channels", [3, 64, 70])
def test_signs_are_repeated_as_bits(channels: int) -> None:
    """Also those that are joined with other signs, which are known already."""
    body = (
        f"d = Mul(x, half) e = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(d) "
        f"u = {ENLARGED}(e, , scales) a = Concat<axis = 1>(u, d) {SIGN} y = Conv(s, w)"
    )
    constants = {
        "scales": np.array([1, 1, 2, 2], np.float32),
        "w": signs(4, 2 * channels, 1, 1),
    }
    found = check(body, (channels, 4, 6), "4, 4, 6", constants)
    assert found.count("CopySigns") == 6
    assert "PlaceReals" not in found
    alone = f"d = Mul(x, half) a = {ENLARGED}(d, , scales) {SIGN} y = Conv(s, v)"
    found = check(
        alone, (channels, 4, 6), "4, 8, 12", {**constants, "v": signs(4, channels, 1, 1)}
    )
    assert found.count("CopySigns") == 4


@pytest.mark.parametrize("name", ["scales", "sizes"])
def test_pixels_are_repeated_along_the_axes_that_are_named(name: str) -> None:
    resize = ENLARGED.replace(">", ", axes = [3, 2]>")
    operands = ", scales" if name == "scales" else ", , sizes"
    body = f"b = Mul(x, half) y = {resize}(b, {operands})"
    constants = {"scales": np.array([3, 2], np.float32), "sizes": np.array([15, 6])}
    source = network(body, "float[N, 2, 3, 5] x", "float[N, 2, 6, 15] y", constants, opset=19)
    x = RNG.normal(size=(3, 2, 3, 5)).astype(np.float32)
    np.testing.assert_array_equal(Model(Artifact(source)).run(x), run(source, x))
    assert kinds(Artifact(source)).count("PlaceReals") == 6


@pytest.mark.parametrize("given", [", scales", ", , sizes"])
def test_a_batch_that_is_resized_is_refused(given: str) -> None:
    """Also a batch of which the file states the size."""
    body = f"b = Mul(x, half) y = {ENLARGED}(b, {given})"
    constants = {"scales": np.array([2, 1, 2, 2], np.float32), "sizes": np.array([2, 3, 6, 10])}
    source = network(body, "float[N, 3, 3, 5] x", "float[M, 3, 6, 10] y", constants)
    with pytest.raises(UnsupportedError, match="first axis alone is the batch"):
        Model(Artifact(source))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_channels_that_do_not_fill_blocks_are_refused(mode: str) -> None:
    body = f'b = Mul(x, half) y = DepthToSpace<blocksize = 2, mode = "{mode}">(b)'
    source = network(body, "float[N, 6, 3, 5] x", "float[N, 1, 6, 10] y", {})
    with pytest.raises(ArtifactError, match=r"a multiple of 2\^2 channels, got the shape \(N, 6,"):
        Model(Artifact(source))


def test_other_sizes_and_roundings_stay_in_numpy() -> None:
    for mode, scales, size in (
        ('nearest_mode = "ceil"', (2, 2), "6, 10"),
        ('nearest_mode = "floor"', (1.5, 2), "4, 10"),
    ):
        body = f'b = Mul(x, half) y = Resize<mode = "nearest", {mode}>(b, , scales)'
        constants = {"scales": np.array([1, 1, *scales], np.float32)}
        assert "NumpyOperator" in check(body, (3, 3, 5), f"3, {size}", constants)


@pytest.mark.parametrize(("mode", "step"), [("DCR", "PlaceReals"), ("CRD", "NumpyOperator")])
def test_depth_to_space(mode: str, step: str) -> None:
    body = f'b = Mul(x, half) y = DepthToSpace<blocksize = 2, mode = "{mode}">(b)'
    assert step in check(body, (20, 3, 5), "5, 6, 10", {})


def test_an_output_keeps_its_reals() -> None:
    """Joined reals that the network returns are stored, beside their signs."""
    body = f"b = Mul(x, half) y = Concat<axis = 1>(b, x) a = Identity(y) {SIGN} z = Conv(s, w)"
    source = network(body, "float[N, 2, 3, 3] x", "float[N, 4, 3, 3] y", {"w": signs(1, 4, 1, 1)})
    x = RNG.normal(size=(2, 2, 3, 3)).astype(np.float32)
    np.testing.assert_array_equal(Model(Artifact(source)).run(x), run(source, x))
