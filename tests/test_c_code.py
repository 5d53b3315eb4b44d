"""Networks exported as C give the bits of the runtime."""

import ctypes
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import onnx
import pytest
from artifacts import ArtifactBuilder, noisy_digits_like, noisy_real_like
from c_networks import (
    STRICT,
    Array,
    CNetwork,
    address,
    bits,
    check_bits,
    compile_c,
    compiler,
    in_tuple,
)
from command_line import fail, run
from fuzz_c import of_values
from onnx import TensorProto

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.report import report
from bnnkit.errors import FileError, UnsupportedError, UsageError
from bnnkit.runtime import Model, open_artifact
from bnnkit.runtime.c_code import export_c
from bnnkit.runtime.c_code.buffers import Call, place
from bnnkit.runtime.c_code.constants import Constants, float_literal
from bnnkit.runtime.c_code.layers import window_fields
from bnnkit.runtime.c_code.network import network_of
from bnnkit.runtime.c_code.steps import OPERATIONS
from bnnkit.runtime.kernels import reals
from bnnkit.runtime.memory.values import Value
from bnnkit.runtime.steps.window import KernelWindow
from bnnkit.zoo import ZooModel, zoo

needs_gcc = pytest.mark.skipif(compiler("gcc") is None, reason="gcc is not installed")


@needs_gcc
def test_a_noisy_network_gives_the_bits_of_the_runtime(tmp_path: Path) -> None:
    artifact, images = noisy_digits_like()
    network = CNetwork(artifact, tmp_path, "-O1")
    check_bits(artifact, network, images[:3], [0, 1, 3])


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("flags", [("-DBNN_PORTABLE",), ("-mssse3",), ("-O2", "-march=native")])
def test_every_form_of_the_kernels_gives_these_bits(tmp_path: Path, flags: tuple[str]) -> None:
    for artifact, images in (noisy_digits_like(3), noisy_real_like()):
        network = CNetwork(artifact, tmp_path / str(len(images)), *flags)
        check_bits(artifact, network, images[:3], [0, 2])


def _many_forms() -> tuple[Artifact, Array]:
    """Groups, depthwise and dilated layers, real sums, pooling, chains, joined and moved maps."""
    a = ArtifactBuilder(11)
    rng = a.rng

    def conv(source: str, weight: tuple[int, ...], **attributes: object) -> str:
        numbers = a.constant(rng.standard_normal(weight).astype(np.float32))
        return a.add("Conv", source, numbers, **attributes)

    scaled = a.add(
        "Mul", a.add("Sub", "x", a.constant(np.float32(0.1))), a.constant(np.float32(3))
    )
    stem = conv(scaled, (24, 3, 3, 3), pads=[1, 1, 1, 1])
    depthwise = conv(stem, (24, 1, 3, 3), group=24, pads=[2, 2, 2, 2], dilations=[2, 2])
    slopes = a.constant(rng.random((24, 1, 1)).astype(np.float32))
    bent = a.add("PRelu", a.add("Add", stem, depthwise), slopes)
    shuffled = a.add("Reshape", bent, a.constant(np.array([0, 2, 12, 10, 10])))
    shuffled = a.add("Transpose", shuffled, perm=[0, 2, 1, 3, 4])
    shuffled = a.add("Reshape", shuffled, a.constant(np.array([0, 24, 10, 10])))
    sums = a.binary_conv2d(
        a.sign(shuffled), 24, 48, 3, groups=2, pads=(1, 1, 1, 1), thresholds=False
    )
    joined = a.add("Concat", a.add("Cast", sums, to=TensorProto.FLOAT), bent, axis=1)
    pooled = a.add("MaxPool", joined, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    mean = a.add("AveragePool", joined, kernel_shape=[2, 2], strides=[2, 2])
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    padded = a.add("AveragePool", joined, **window)
    beyond = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}
    counted = a.add("AveragePool", joined, **beyond, count_include_pad=1)
    added = a.add("Add", a.add("Sub", a.add("Add", pooled, mean), padded), counted)
    limits = [a.constant(np.float32(limit)) for limit in (-3, 5)]
    clipped = a.add("Round", a.add("Clip", added, *limits))
    flat = a.add("Flatten", a.add("Mul", clipped, a.add("GlobalAveragePool", added)))
    dense = a.gemm(flat, 72 * 25, 7)
    return a.artifact(
        (3, 10, 10), dense, a.add("Softmax", dense), a.add("Sigmoid", dense)
    ), rng.standard_normal((3, 3, 10, 10)).astype(np.float32)


@needs_gcc
@pytest.mark.slow
def test_real_layers_chains_and_moves(tmp_path: Path) -> None:
    artifact, images = _many_forms()
    network = CNetwork(artifact, tmp_path, "-O1", "-march=native")
    dense, softmax, sigmoid = in_tuple(Model(artifact).run(images))
    got_dense, got_softmax, got_sigmoid = network.run(images, (dense, softmax, sigmoid))
    np.testing.assert_array_equal(bits(got_dense), bits(dense))
    np.testing.assert_array_equal(bits(got_softmax), bits(softmax))
    # NumPy's exponential differs between CPUs, by a few units in the last place.
    np.testing.assert_allclose(got_sigmoid, sigmoid, rtol=1e-6, atol=1e-7)


def _small_groups() -> tuple[Artifact, Array]:
    """Binary convolutions of groups with few channels, to signs and sums, and with noise."""
    a = ArtifactBuilder(6)
    depthwise = a.binary_conv2d(a.sign("x"), 70, 70, 3, pads=(1, 1, 1, 1), groups=70)
    pooled = a.add("MaxPool", depthwise, kernel_shape=[2, 2], strides=[2, 2])
    more = a.binary_conv2d(pooled, 70, 140, 3, pads=(0, 1, 1, 0), groups=35, dilation=2)
    noisy = a.noisy_sum(a.binary_conv2d(more, 140, 35, (1, 2), groups=35, thresholds=False), 35, 3)
    sums = a.binary_conv2d(noisy, 35, 105, 2, groups=35, pads=(1, 0, 0, 1), thresholds=False)
    real = a.add("GlobalAveragePool", a.add("Cast", sums, to=TensorProto.FLOAT))
    images = a.rng.standard_normal((3, 70, 13, 12)).astype(np.float32)
    return a.artifact((70, 13, 12), a.gemm(a.add("Flatten", real), 105, 5)), images


def _pads() -> tuple[Artifact, Array]:
    """Padding with constants: of the image, of reals, of signs, of a vector; and negation."""
    a = ArtifactBuilder(8)

    def pad(source: str, pads: Sequence[int], *number: Any) -> str:
        numbers = [a.constant(value) for value in number]
        return a.add("Pad", source, a.constant(np.array(pads)), *numbers)

    real = pad("x", (0, 1, 1, 0, 0, 0, 2, 3), np.float32(0.25))
    minus = pad(a.sign(a.add("Neg", real)), (0, 0, 0, 2, 0, 0, 1, 0), np.uint8(0))
    sums = a.binary_conv2d(minus, 4, 9, 3, thresholds=False)
    wide = pad(a.add("Cast", sums, to=TensorProto.FLOAT), (0, 2, 0, 0, 0, 0, 0, 1))
    dense = a.gemm(a.add("Flatten", wide), 11 * 6 * 9, 5)
    images = a.rng.standard_normal((3, 3, 4, 5)).astype(np.float32)
    return a.artifact((3, 4, 5), pad(dense, (0, 1, 0, 0), np.float32(-np.inf))), images


@needs_gcc
@pytest.mark.slow
def test_padding_with_a_constant(tmp_path: Path) -> None:
    artifact, images = _pads()
    check_bits(artifact, CNetwork(artifact, tmp_path, "-O1"), images, [0])


@needs_gcc
@pytest.mark.slow
def test_integer_layer_behind_a_flattened_image(tmp_path: Path) -> None:
    a = ArtifactBuilder(9)
    flat = a.add("Flatten", "x")
    weight = a.constant(a.rng.integers(-2047, 2048, (9, 30)).astype(np.int16))
    zero_point = a.constant(a.rng.integers(0, 256, 30).astype(np.uint8))
    sums = a.add("bnnkit.IntegerLinear", flat, weight, zero_point)
    scores = a.add("Cast", sums, to=TensorProto.FLOAT)
    artifact = a.artifact((3, 2, 5), scores, dtype=TensorProto.UINT8)
    images = a.rng.integers(0, 256, (3, 3, 2, 5), np.uint8)
    check_bits(artifact, CNetwork(artifact, tmp_path, "-O1"), images, [0])


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("flags", [("-O2", "-march=native"), ("-O1", "-DBNN_PORTABLE")])
def test_small_groups(flags: tuple[str, ...], tmp_path: Path) -> None:
    artifact, images = _small_groups()
    network = CNetwork(artifact, tmp_path, *flags)
    assert (tmp_path / "bnn_weights.h").read_text().count("BNN_SLICED") >= 4
    check_bits(artifact, network, images, [0, 2])


@needs_gcc
@pytest.mark.slow
def test_binary_weights_with_real_activations_are_added_four_at_once(tmp_path: Path) -> None:
    a = ArtifactBuilder(2)
    packed = a.constant(a.rng.integers(0, 256, (20 * 9 * 10 + 7) // 8).astype(np.uint8))
    weight = a.add("bnnkit.BinaryWeight", packed, weight_shape=[20, 3, 3, 10])
    real = a.add("Conv", "x", weight, pads=[1, 1, 1, 1])
    artifact = a.artifact((10, 5, 4), a.gemm(a.add("Flatten", real), 20 * 20, 3))
    images = a.rng.standard_normal((2, 10, 5, 4)).astype(np.float32)
    (got,) = CNetwork(artifact, tmp_path, "-O1").run(images, in_tuple(Model(artifact).run(images)))
    dense = np.asarray(Model(artifact).run(images), np.float64)
    np.testing.assert_allclose(got, dense, rtol=1e-5, atol=1e-5)


@needs_gcc
@pytest.mark.slow
def test_each_sample_uses_its_draw_of_the_weights(tmp_path: Path) -> None:
    a = ArtifactBuilder(4)
    packed = a.constant(a.rng.integers(0, 256, (4, 30 * 16 // 8)).astype(np.uint8))
    draw = a.add("bnnkit.WeightDraw", packed, "sample")
    signs = a.stochastic_sign("x", channels=16, maps=False)
    sums = a.add("bnnkit.BinaryLinear", signs, draw, weight_shape=[30, 16])
    artifact = a.artifact((16,), a.add("Cast", sums, to=TensorProto.FLOAT))
    images = a.rng.standard_normal((3, 16)).astype(np.float32)
    check_bits(artifact, CNetwork(artifact, tmp_path, "-O1"), images, [0, 1, 2, 3, 7])


@needs_gcc
@pytest.mark.slow
def test_a_network_of_the_zoo(tmp_path: Path) -> None:
    artifact = open_artifact("zoo:cifar10-vgg-ensemble")
    network = CNetwork(artifact, tmp_path, "-O2", "-march=native")
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), np.uint8)
    check_bits(artifact, network, images, [0, 2])
    assert network.report.workspace_bytes < 100_000


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


@needs_gcc
@pytest.mark.slow
def test_threads_share_a_network(tmp_path: Path) -> None:
    artifact, images = noisy_digits_like()
    network = CNetwork(artifact, tmp_path, "-O1")
    like = in_tuple(Model(artifact).predict(images, samples=50, seed=1))
    (want,) = network.predict(images, like, 50, 1)
    found: list[Array] = []
    threads = [
        Thread(target=lambda: found.append(network.predict(images, like, 50, 1)[0]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for got in found:
        np.testing.assert_array_equal(bits(got), bits(want))


@needs_gcc
@pytest.mark.slow
def test_two_networks_fit_into_one_program(tmp_path: Path) -> None:
    first, images = noisy_digits_like(0)
    second, _ = noisy_digits_like(1)
    export_c(first, tmp_path / "a", name="first")
    export_c(second, tmp_path / "b", name="second")
    files = [tmp_path / "a/first.c", tmp_path / "b/second.c"]
    compile_c(["gcc", *STRICT, "-shared", "-fPIC", "-o", tmp_path / "both.so", *files])
    library = ctypes.CDLL(str(tmp_path / "both.so"))
    for name, artifact in (("first", first), ("second", second)):
        (want,) = in_tuple(Model(artifact).run(images[:1]))
        got = np.zeros_like(want)
        library[f"{name}_run"](address(images[0]), address(got))
        np.testing.assert_array_equal(bits(got), bits(want))


@needs_gcc
@pytest.mark.slow
def test_the_folder_builds_with_cmake_and_its_readme_is_true(tmp_path: Path) -> None:
    if compiler("cmake") is None:
        pytest.skip("cmake is not installed")
    artifact, _ = noisy_digits_like()
    export_c(artifact, tmp_path, name="digits")
    readme = (tmp_path / "README.md").read_text()
    assert len(readme.splitlines()) < 60
    (build,) = re.findall(r"^    (cmake .*)$", readme, re.MULTILINE)
    done = subprocess.run(build, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100% tests passed" in done.stdout
    # On Windows the import library of a shared library has its name.
    built = {path.name for path in (tmp_path / "build").glob("libdigits*")}
    assert built == {"libdigits.so", "libdigits_static.a"}
    (python,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    code = f"{python}\nassert abs(sum(probabilities) - 1) < 1e-5"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    (c,) = re.findall(r"```c\n(.*?)```", readme, re.DOTALL)
    include, _, rest = c.partition("\n\n")
    (tmp_path / "use.c").write_text(f"{include}\nint main(void) {{\n{rest}\nreturn 0;\n}}\n")
    compile_c(["gcc", "-std=c99", "-c", tmp_path / "use.c", "-o", tmp_path / "use.o"])


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_random_networks(seed: int) -> None:
    from fuzz_c import check_seed

    assert check_seed(seed, "-O1", "-march=native") >= 0


def test_what_c_lacks_is_named_at_once(tmp_path: Path) -> None:
    a = ArtifactBuilder()
    artifact = a.artifact((4,), a.add("Tanh", a.add("Sqrt", "x")))
    with pytest.raises(
        UnsupportedError, match=r"lacks Sqrt \(node 'Sqrt0'\); Tanh \(node 'Tanh1'"
    ):
        export_c(artifact, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_an_operator_of_the_runtime_s_own_is_named(tmp_path: Path) -> None:
    a = ArtifactBuilder()
    kernel = a.constant(np.ones((1, 1, 2, 2, 2), np.float32))
    artifact = a.artifact((1, 3, 3, 3), a.add("Flatten", a.add("Conv", "x", kernel)))
    with pytest.raises(UnsupportedError, match=r"lacks Conv \(node 'Conv0'\)"):
        export_c(artifact, tmp_path / "c")


def test_an_operator_of_arrays_and_a_value_is_named(tmp_path: Path) -> None:
    """The value is searched among arrays, whose comparison gives arrays."""
    a = ArtifactBuilder()
    numbers = a.constant(np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4))
    artifact = a.artifact((2, 3, 4), a.add("Sub", numbers, a.add("Identity", "x")))
    with pytest.raises(UnsupportedError, match="lacks Sub"):
        export_c(of_values(artifact), tmp_path / "c")


@pytest.mark.parametrize("name", ["", "2d", "a-b", "int", "é"])
def test_a_name_that_c_cannot_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="expected --name to be a name in C"):
        export_c(noisy_digits_like()[0], tmp_path / "c", name=name)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", ["test", "string", "bnn_base", "BNN_Base", "aux", "COM1"])
def test_a_name_that_something_else_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="expected --name to be a name that no header of C"):
        export_c(noisy_digits_like()[0], tmp_path / "c", name=name)


def test_a_file_that_cannot_be_written_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "bnn_test.c").mkdir()
    (tmp_path / "bnn_weights.h").touch()  # an earlier export
    with pytest.raises(FileError, match=r"cannot write .*bnn_test.c: expected a file"):
        export_c(noisy_digits_like()[0], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bnn_test.c", "bnn_weights.h"]
    assert (tmp_path / "bnn_weights.h").read_text() == ""


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    network = noisy_digits_like()[0]
    export_c(network, tmp_path / "c")
    export_c(network, tmp_path / "c")  # the same name replaces its files
    before = {path: path.read_bytes() for path in (tmp_path / "c").iterdir()}
    with pytest.raises(FileError, match="an earlier export named other; it holds other files"):
        export_c(network, tmp_path / "c", name="other")
    assert {path: path.read_bytes() for path in (tmp_path / "c").iterdir()} == before


def test_the_command(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "digits_c"
    done = run("export", model, "--to", "c", "-o", folder, "--name", "digits")
    assert done.exit_code == 0, done.output
    assert {"digits.h", "digits.c", "digits_test.c", "README.md"} <= {
        f.name for f in folder.iterdir()
    }
    file = tmp_path / "file"
    file.write_text("")
    assert "expected a folder" in fail("export", model, "--to", "c", "-o", file)
    refused = fail("export", model, "--to", "c", "-o", tmp_path / "x.npy")
    assert "expected -o to name a folder" in refused
    assert "no noise" in fail("export", model, "--to", "c", "-o", folder, "--mode", "samples")


@pytest.mark.slow
def test_a_checkpoint_is_exported(digits_run: Path, tmp_path: Path) -> None:
    printed = run("export", digits_run, "--to", "c", "-o", tmp_path / "c", "--json").stdout
    assert json.loads(printed)["workspace_bytes"] < 4096
    header = (tmp_path / "c" / "bnn.h").read_text()
    assert "#define BNN_INPUT_SIZE 64" in header
    assert "#define BNN_OUTPUT_SIZE 10" in header


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


def test_every_operation_of_a_chain_is_there() -> None:
    assert {*OPERATIONS} == {*range(reals.MOVE)} - {reals.CAST}


def test_arguments_are_named_after_what_they_hold(tmp_path: Path) -> None:
    a = ArtifactBuilder()
    export_c(a.artifact((4,), a.gemm("x", 4, 1)), tmp_path / "regression")
    header = (tmp_path / "regression/bnn.h").read_text()
    assert "void bnn_run(const float *inputs, float *values);" in header
    assert "void bnn_predict(const float *inputs, float *values, uint32_t samples" in header
    assert "channel" not in (tmp_path / "regression/README.md").read_text()
    a = ArtifactBuilder()
    classifier = a.artifact((3, 2, 2), a.gemm(a.add("Flatten", "x"), 12, 5))
    export_c(classifier, tmp_path / "classes")
    header = (tmp_path / "classes/bnn.h").read_text()
    assert "void bnn_run(const float *image, float *scores);" in header
    assert "void bnn_predict(const float *image, float *probabilities, uint32_t s" in header


@needs_gcc
def test_outputs_are_named_as_c_allows(tmp_path: Path) -> None:
    a = ArtifactBuilder()
    names = ("a/b", "a.b", "int", "input", "bnn_softmax", "uint8_t", "memcpy", "class")
    outputs = [a.gemm("x", 4, 2) for _ in names]
    network = onnx.ModelProto()
    network.CopyFrom(a.artifact((4,), *outputs).model)
    for output, name in zip(outputs, names, strict=True):
        for node in network.graph.node:
            node.output[:] = [name if one == output else one for one in node.output]
        for value in network.graph.output:
            value.name = name if value.name == output else value.name
    export_c(Artifact(network), tmp_path)
    header = (tmp_path / "bnn.h").read_text()
    assert "float *a_b, float *a_b_, float *out_int, float *out_input" in header
    compile_c(["gcc", *STRICT, "-fsyntax-only", tmp_path / "bnn.c"])
    compile_c(["gcc", "-x", "c++", "-fsyntax-only", tmp_path / "bnn.h"])
