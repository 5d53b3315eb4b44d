"""Exported C, compiled and called from Python, and the compilers that compile it."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.runtime import Model
from bnnkit.runtime.c_code import CReport, export_c

Array = NDArray[Any]
STRICT = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-ffp-contract=off")
"""What every target is compiled with: no warning passes."""


def compiler(*names: str) -> str | None:
    """The first of these compilers that is there."""
    return next((name for name in names if shutil.which(name)), None)


needs_gcc = pytest.mark.skipif(compiler("gcc") is None, reason="gcc is not installed")


def compile_c(command: Sequence[object]) -> None:
    """Run a compiler; its messages are those of the error."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class CNetwork:
    """A network as a shared library.

    Attributes:
        report: What the exporter reported.
    """

    def __init__(self, artifact: Artifact, folder: Path, *flags: str, cc: str = "gcc") -> None:
        self.report: CReport = export_c(artifact, folder)
        library = folder / f"lib{len(os.listdir(folder))}.so"  # loaded once for each name
        command = [cc, *STRICT, *flags, "-shared", "-fPIC", "-o", library, folder / "bnn.c"]
        compile_c(command)
        self._library = ctypes.CDLL(str(library))

    def run(self, images: Array, like: Sequence[Array]) -> list[Array]:
        """Compute one pass of each image; results have the types and shapes of `like`."""
        results = [np.zeros_like(one) for one in like]
        for index, image in enumerate(images):
            parts = [address(result[index : index + 1]) for result in results]
            self._library.bnn_run(address(image), *parts)
        return results

    def predict(
        self, images: Array, like: Sequence[Array], samples: int, seed: int
    ) -> list[Array]:
        """Compute what `Model.predict` returns for a batch."""
        results = [np.zeros_like(one) for one in like]
        workspace = np.full(self.report.workspace_bytes // 8 + 1, 2**64 - 1, np.uint64)
        for index, image in enumerate(images):
            parts = [address(result[index : index + 1]) for result in results]
            counts = ctypes.c_uint32(samples), ctypes.c_uint64(seed), ctypes.c_uint32(index)
            self._library.bnn_predict_in(address(workspace), address(image), *parts, *counts)
        return results


def address(array: Array) -> ctypes.c_void_p:
    """The address of a contiguous array."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


def check_bits(
    artifact: Artifact, network: CNetwork, images: Array, samples: Sequence[int]
) -> None:
    """Check that a network in C gives the bits of the runtime, for each number of samples."""
    model = Model(artifact)
    want = in_tuple(model.run(images))
    for got, expected in zip(network.run(images, want), want, strict=True):
        np.testing.assert_array_equal(bits(got), bits(expected))
    for count in samples:
        want = in_tuple(model.predict(images, samples=count, seed=2**40 + 7))
        got_all = network.predict(images, want, count, 2**40 + 7)
        for got, expected in zip(got_all, want, strict=True):
            np.testing.assert_array_equal(bits(got), bits(expected))


def bits(array: Array) -> Array:
    """The numbers, of floats their bits, with one NaN for all."""
    if array.dtype != np.float32:
        return array
    return np.where(np.isnan(array), np.float32(np.nan), array).view(np.uint32)


def in_tuple(result: Any) -> tuple[Array, ...]:
    """The outputs of a network, also of one that has only one."""
    return result if isinstance(result, tuple) else (result,)
