"""Measure exported C: `python benchmarks/c_code.py [MODEL.onnx zoo:NAME ...] [--inputs N]`.

For each model: the bits of N random inputs against the runtime, in a fast library and under
AddressSanitizer and UndefinedBehaviorSanitizer; the bytes of the compiled network and those of its
constants with one bit per binary weight; and the time of one image on one thread, and how many
times as fast as the runtime that is, measured in turns in one process. Without models it measures
the digits network and the zoo, with flash and stack on an emulated Cortex-M4 of the small ones,
and writes results/c_code.json and the tables of docs/c.md, in ten minutes. The exit code is 1 if
any bits differ. Needs gcc, gcc-arm-none-eabi and qemu-system-arm (.ci/c_targets).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from c_programs import FAST, CLibrary, on_cortex_m4
from markdown_block import write_block
from numpy.typing import NDArray

from bnnkit.artifact.report import report
from bnnkit.bench.machine import describe_machine_to_publish
from bnnkit.cli.quickstart import CONFIG
from bnnkit.deployment.export_checkpoint import export_checkpoint
from bnnkit.files.atomic import write_text
from bnnkit.runtime import Model, open_artifact
from bnnkit.training import load_config, train
from bnnkit.zoo import zoo

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "c_code.json"
PAGE = HERE.parent / "docs" / "c.md"
Array = NDArray[Any]
SMALL = {"digits", "zoo:mnist-convnet"}
"""Networks that a microcontroller runs too, and of which sanitizers check every input."""
MANY, FEW = 10_000, 200
MANY_INPUTS = {*SMALL, "zoo:cifar10-vgg-ensemble"}
"""Networks that are compared on MANY inputs; the others on FEW, as many as sanitizers check."""
ROUNDS, ROUND_SECONDS = 30, 0.03
SAMPLES = 10
CHUNK = 100


def unequal(model: Model, library: CLibrary, n_inputs: int, n_sanitized: int) -> tuple[int, int]:
    """Count random inputs with other bits in C, in a pass or in an ensemble of two samples.

    Returns:
        Their number among `n_inputs` in the fast library, and among `n_sanitized` in a program
        with sanitizers.

    Raises:
        subprocess.CalledProcessError: If a sanitizer found an error.
    """
    fast, sanitized = 0, 0
    samples = 2 if model.is_stochastic else 0
    for start, images in zip(count(0, CHUNK), random_images(model, n_inputs), strict=False):
        passes = np.asarray(model.run(images))
        means = np.asarray(model.predict(images, samples=samples, seed=1))
        want = np.concatenate([passes, means], axis=1)
        found = np.zeros_like(want)
        for number, (image, one) in enumerate(zip(images, found, strict=True)):
            library.run(image, one[: passes.shape[1]])
            library.predict(image, one[passes.shape[1] :], samples, number)
        fast += _differing(found, want)
        if start < n_sanitized:
            checked = np.frombuffer(library.sanitized(images, samples), np.float32)
            sanitized += _differing(checked.reshape(want.shape), want)
    return fast, sanitized


def _differing(found: Array, want: Array) -> int:
    """Count rows with other bits."""
    return int((found.view(np.uint32) != want.view(np.uint32)).any(axis=1).sum())


def random_images(model: Model, n_inputs: int) -> Iterator[Array]:
    """Yield random inputs in chunks."""
    rng = np.random.default_rng(0)
    for start in range(0, n_inputs, CHUNK):
        shape = (min(CHUNK, n_inputs - start), *model.input_shape)
        if model.input_dtype == np.uint8:
            yield rng.integers(0, 256, shape, np.uint8)
        else:
            yield rng.standard_normal(shape, np.float32)


def times(calls: list[Callable[[], object]]) -> list[list[float]]:
    """Time each call in turns; the seconds of a call in each round."""
    found: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(ROUNDS):
        for call, seconds in zip(calls, found, strict=True):
            start, passes = time.perf_counter(), 0
            while time.perf_counter() - start < ROUND_SECONDS:
                call()
                passes += 1
            seconds.append((time.perf_counter() - start) / passes)
    return found


def measure(name: str, source: Path | str, n_inputs: int, compiler: str) -> dict[str, Any]:
    """Measure one model."""
    artifact = open_artifact(source)
    model = Model(artifact)
    with tempfile.TemporaryDirectory() as folder:
        library = CLibrary(artifact, Path(folder), compiler)
        n_sanitized = n_inputs if name in SMALL else min(n_inputs, FEW)
        fast, sanitized = unequal(model, library, n_inputs, n_sanitized)
        return {
            "model": name,
            "inputs": n_inputs,
            "inputs_with_other_bits": fast,
            "inputs_under_sanitizers": n_sanitized,
            "with_other_bits_under_sanitizers": sanitized,
            "ideal_bytes": report(artifact, 0).ideal_bytes,
            "compiled_bytes": library.compiled_bytes(),
            "pass_bytes": library.report.pass_bytes,
            "workspace_bytes": library.report.workspace_bytes,
            **speeds(model, library),
            **({"cortex_m4": on_cortex_m4(library, SAMPLES)} if name in SMALL else {}),
        }


def speeds(model: Model, library: CLibrary) -> dict[str, Any]:
    """Time one pass, and SAMPLES samples if the model has noise, beside the runtime."""
    (image,) = next(random_images(model, 1))
    scores = np.zeros_like(np.asarray(model.run(image[None]))[0])
    means = np.zeros(scores.shape, np.float32)
    found = {
        "one_pass": compare(lambda: library.run(image, scores), lambda: model.run(image[None]))
    }
    if model.is_stochastic:
        found["samples"] = compare(
            lambda: library.predict(image, means, SAMPLES),
            lambda: model.predict(image[None], samples=SAMPLES, seed=1),
        )
    return found


def compare(c: Callable[[], object], runtime: Callable[[], object]) -> dict[str, float]:
    """Return the least milliseconds of the C code, and the median ratio of the speeds."""
    ours, theirs = times([c, runtime])
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return {"ms": round(min(ours) * 1e3, 4), "times_the_runtime": round(ratio, 2)}


def rows(networks: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield (
        "| network | inputs with other bits | with sanitizers | ideal bytes | compiled |"
        " workspace | of an ensemble | one pass, ms (times the runtime's speed) |"
        f" {SAMPLES} samples |"
    )
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for one in networks:
        sanitized = one["with_other_bits_under_sanitizers"], one["inputs_under_sanitizers"]
        cells = [f"`{one['model']}`", f"{one['inputs_with_other_bits']:,} of {one['inputs']:,}"]
        cells.append("{:,} of {:,}".format(*sanitized))
        cells += [f"{one[key]:,}" for key in ("ideal_bytes", "compiled_bytes", "pass_bytes")]
        cells.append(f"{one['workspace_bytes']:,}" if "samples" in one else "")
        for speed in (one["one_pass"], one.get("samples")):
            text = "" if speed is None else f"{speed['ms']:.3g} ({speed['times_the_runtime']:.2f})"
            cells.append(text)
        yield f"| {' | '.join(cells)} |"


def board_rows(networks: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table of a microcontroller."""
    yield "| network on a Cortex-M4, `-Os` | flash with the code | stack of `NAME_predict` |"
    yield "| --- | ---: | ---: |"
    for one in networks:
        if "cortex_m4" in one:
            cells = [f"{one['cortex_m4'][key]:,}" for key in ("flash_bytes", "stack_bytes")]
            yield f"| `{one['model']}` | {' | '.join(cells)} |"


def markdown(results: dict[str, Any]) -> str:
    """Return a line about the machine, and the tables."""
    context, networks = results["context"], results["networks"]
    machine = (
        f"{context['cpu_model']}, {context['date'][:10]}; load average"
        f" {context['load_avg'][0]:.1f} before and {context['load_avg_after'][0]:.1f} after;"
        f" {context['compiler']}, {' '.join(FAST)}."
    )
    return "\n".join([machine, "", *rows(networks), "", *board_rows(networks)])


def stored_networks(folder: Path) -> Iterator[tuple[str, Path | str]]:
    """Yield the names and sources of the networks that are measured without arguments."""
    yield "digits", digits(folder)
    for model in zoo():
        yield f"zoo:{model.name}", f"zoo:{model.name}"


def digits(folder: Path) -> Path:
    """Train the network of `bnnkit quickstart`."""
    (folder / "digits.yaml").write_text(CONFIG)
    train(load_config(folder / "digits.yaml"), folder / "run")
    export_checkpoint(folder / "run", folder / "digits.onnx")
    return folder / "digits.onnx"


def main() -> int:
    """Measure the models that are named, or the stored ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--inputs", type=int, metavar="N", help="10,000 or 200, by network")
    parser.add_argument("--compiler", default="gcc")
    arguments = parser.parse_args()
    context = describe_machine_to_publish()
    networks = []
    with tempfile.TemporaryDirectory() as folder:
        named = [(Path(model).name, model) for model in arguments.models]
        for name, source in named or stored_networks(Path(folder)):
            n_inputs = arguments.inputs or (MANY if name in MANY_INPUTS else FEW)
            networks.append(measure(name, source, n_inputs, arguments.compiler))
            print(networks[-1], flush=True)
    print("\n".join([*rows(networks), "", *board_rows(networks)]))
    if not arguments.models:
        command = [arguments.compiler, "--version"]
        version = subprocess.run(command, capture_output=True, text=True, check=True)
        context["compiler"] = version.stdout.splitlines()[0]
        context["load_avg_after"] = list(os.getloadavg())
        results = {"context": context, "networks": networks}
        write_text(RESULTS, json.dumps(results, indent=1) + "\n")
        write_block(PAGE, "c code", markdown(results))
    differing = ("inputs_with_other_bits", "with_other_bits_under_sanitizers")
    return int(any(one[key] for one in networks for key in differing))


if __name__ == "__main__":
    sys.exit(main())
