"""Kernels of a network as object files for AArch64, and its bound plan as an image of memory.

    python benchmarks/arm_code.py NETWORK.onnx FORM FOLDER CPU

Run by arm_model.py in a process of its own, because it cannot execute kernels: Numba's unoptimised
code of each is given another target and LLVM's optimisation for it. FORM is "panel", or "popcount"
for the kernels that AArch64 had before: sums of signs by words, products as float32, and random
numbers in lanes of 64 bits. The folder holds input.npy, and gets program.h, image.bin, and
plan.json: the kernels, and where the output is in the image. KERNEL.o and KERNEL.s are kept in
the folder FORM-CPU beside it, for other networks.

The plan of a network with noise is that of its sample 0.
"""

import ctypes
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import dropwhile
from pathlib import Path
from typing import Any

# Import-time choices of the kernels are those of a CPU without wide vectors, as on AArch64.
os.environ |= {"NUMBA_OPT": "0", "NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}

import numpy as np
from llvmlite import binding
from numba import cfunc, types
from numba.core import codegen
from numpy.typing import NDArray

from bnnkit.artifact.format.sample import Sample
from bnnkit.runtime.kernels import neon, panel, stochastic
from bnnkit.runtime.kernels.program import KERNEL
from bnnkit.runtime.lowering.kernel_forms import KernelForms, forms_of_this_cpu
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.open_file import read
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.steps.step import KernelCall

TRIPLE = "aarch64-unknown-linux-gnu"
BASE = 1 << 40
"""Address of the image in the emulated program."""
WITH_UDOT = {"cortex-a76"}
Array = NDArray[Any]


def stop_numba_from_linking() -> None:
    """Keep Numba from making machine code of this CPU, which lacks the instructions."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    cfunc(types.int64(types.int64))(lambda x: x)  # Numba's own helpers must be real
    room = ctypes.create_string_buffer(64)

    def found(library: Any, name: str) -> int:
        library._ensure_finalized()
        return ctypes.addressof(room)

    for owner, name, instead in (
        (codegen.JITCodeLibrary, "_finalize_specific", lambda library: None),
        (codegen.JITCodeLibrary, "get_pointer_to_function", found),
        (codegen.JITCPUCodegen, "set_env", lambda codegen, name, env: None),
    ):
        setattr(owner, name, instead)
    vars(neon)["is_aarch64"] = lambda: True


def unoptimised(kernel: Callable[..., None]) -> str:
    """Return a kernel's LLVM code without what ties it to this CPU, named after the kernel."""
    compiled = cfunc(KERNEL, error_model="numpy")(kernel)
    text = re.sub(r"^target .*$", "", compiled.inspect_llvm(), flags=re.M)
    text = re.sub(r'"(target-cpu|target-features|tune-cpu)"="[^"]*"', "", text)
    text = re.sub(r"^(attributes #\d+ = \{) noinline \}", r"\1 alwaysinline }", text, flags=re.M)
    name = compiled.native_name
    for form in (f'@"{name}"', f"@{name}"):
        text = text.replace(form, f"@{kernel.__name__}")
    return text


def emit(text: str, name: str, cpu: str, stem: Path) -> None:
    """Optimise LLVM code for a CPU, as Numba does, and write its assembly and object file."""
    module = binding.parse_assembly(text)
    module.triple = TRIPLE
    target = binding.Target.from_triple(TRIPLE)
    machine = target.create_target_machine(cpu=cpu, features="", opt=3, reloc="pic")
    module.data_layout = str(machine.target_data)
    for function in module.functions:
        if not function.is_declaration and function.name != name:
            function.linkage = "internal"
    options = binding.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization, options.slp_vectorization = True, False
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    stem.with_suffix(".s").write_text(machine.emit_assembly(module))
    stem.with_suffix(".o").write_bytes(machine.emit_object(module))


def whole(array: Array) -> Array:
    """Return the array that owns the memory of a view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class Image:
    """The memory of a bound plan, moved to another address."""

    def __init__(self, memory: Memory) -> None:
        parts = [*memory._arrays.values(), *memory.buffers.values(), *memory._records]
        owners = {whole(part).ctypes.data: whole(part) for part in parts}
        self.starts = np.array(sorted(owners), np.int64)
        self.arrays = [owners[start] for start in self.starts.tolist()]
        sizes = np.array([array.nbytes for array in self.arrays])
        self.ends = self.starts + sizes + 64
        room = -(-(sizes + 128) // 64) * 64
        # An array keeps its place within a cache line.
        self.places = np.cumsum(room) - room + self.starts % 64
        self.size = int(room.sum())
        self.views = [part for part in parts if part.dtype == np.int64]

    def moved(self, addresses: Array) -> Array:
        """Replace addresses in these arrays by those in the image; other numbers stay."""
        index = np.maximum(np.searchsorted(self.starts, addresses, side="right") - 1, 0)
        is_inside = (addresses >= self.starts[index]) & (addresses < self.ends[index])
        there = BASE + self.places[index] + addresses - self.starts[index]
        return np.where(is_inside, there, addresses)

    def content(self) -> bytes:
        """Return the bytes of the image."""
        image = np.zeros(self.size, np.uint8)
        for array, place in zip(self.arrays, self.places.tolist(), strict=True):
            raw = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
            image[place : place + raw.size] = raw
        for view in self.views:
            place = int(self.moved(np.array([view.ctypes.data]))[0]) - BASE
            new = self.moved(np.ascontiguousarray(view)).view(np.uint8).reshape(-1)
            image[place : place + new.size] = new
        return image.tobytes()


def forms_of(form: str, cpu: str) -> KernelForms:
    """Return the forms of the kernels on a CPU."""
    forms = forms_of_this_cpu()
    if form == "popcount":
        return replace(forms, binary="popcount", integer="floats")
    integer = "byte panels" if cpu in WITH_UDOT else "short panels"
    return replace(forms, binary="panel", integer=integer)  # type: ignore[arg-type]


def main() -> None:
    """Write the files."""
    network, form, folder, cpu = sys.argv[1:]
    folder_path = Path(folder)
    plan = Plan(read(network).graph, forms=forms_of(form, cpu))
    memory = Memory(plan.values, 1, 1, noise_dependent=plan.noise_dependent, rows=1)
    image_number = np.zeros(1, np.int64)
    memory.counters.set(image_number, image_number, [Sample()])
    source = memory.buffers[plan.graph.input]
    source[...] = np.load(folder_path / "input.npy")
    bound = [call for step in plan.steps if (call := step.bind(memory)) is not None]
    kernel_calls = dropwhile(lambda call: not isinstance(call, KernelCall), bound)
    calls = [call for call in kernel_calls if isinstance(call, KernelCall)]
    for call in bound[: -len(calls)]:  # what runs in NumPy before the first kernel
        assert not isinstance(call, KernelCall), "a step between kernels runs in NumPy"
        call()
    kernels = {call.kernel.__name__: call.kernel for call in calls}
    image = Image(memory)
    (folder_path / "image.bin").write_bytes(image.content())
    (output,) = plan.graph.outputs
    found = memory.onnx(output)
    facts = {
        "kernels": list(kernels),
        "place": int(image.moved(np.array([found.ctypes.data]))[0]) - BASE,
        "dtype": str(found.dtype),
        "shape": found.shape,
        "strides": found.strides,
    }
    (folder_path / "plan.json").write_text(json.dumps(facts))
    records = image.moved(np.array([call.record for call in calls]))
    lines = [f"#define BASE {BASE}LL", f"#define SIZE {image.size}"]
    lines += [f"kernel {name};" for name in kernels]
    pairs = zip(calls, records.tolist(), strict=True)
    lines.append("static struct call calls[] = {")
    lines += [f"    {{{call.kernel.__name__}, {record}LL}}," for call, record in pairs]
    (folder_path / "program.h").write_text("\n".join([*lines, "};", ""]))
    stop_numba_from_linking()
    vars(panel)["has_byte_dot_product"] = lambda: cpu in WITH_UDOT
    vars(stochastic)["is_aarch64"] = lambda: form == "panel"
    objects = folder_path.parent / f"{form}-{cpu}"
    objects.mkdir(exist_ok=True)
    for name, kernel in kernels.items():
        if not (objects / f"{name}.o").exists():
            emit(unoptimised(kernel), name, cpu, objects / name)


if __name__ == "__main__":
    main()
