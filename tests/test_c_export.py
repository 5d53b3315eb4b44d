"""The folder of an exported network: names, files, what is refused, how it is built."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from artifacts import ArtifactBuilder, noisy_digits_like
from c_networks import STRICT, compile_c, compiler, needs_gcc
from command_line import fail, run
from fuzz_c import of_values

from bnnkit.artifact.artifact import Artifact
from bnnkit.errors import FileError, UnsupportedError, UsageError
from bnnkit.runtime.c_code import export_c


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
