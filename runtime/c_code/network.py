"""A network as passes of calls: its deterministic pass, and one for each draw of the weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.output_kinds import OutputKind
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.c_code.buffers import Call, bytes_of, place
from bnnkit.runtime.c_code.constants import MOST_BYTES, Constants
from bnnkit.runtime.c_code.numpy_operators import UNNAMED
from bnnkit.runtime.c_code.pooled_sums import with_pooled_sums
from bnnkit.runtime.c_code.steps import Translation
from bnnkit.runtime.lowering.kernel_forms import FORMS_OF_C
from bnnkit.runtime.memory.values import Value
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.sampler import count_weight_draws


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output of the network.

    Attributes:
        name: Its name in the file.
        kind: What it holds, which decides what is averaged over samples.
        value: Kind and shape of what is stored.
        stored: The name of the value.
    """

    name: str
    kind: OutputKind
    value: Value
    stored: str

    @property
    def count(self) -> int:
        """Number of elements."""
        return prod(self.value.shape)

    @property
    def c_type(self) -> str:
        """C's type of an element of the file's own output."""
        return {"signs": "uint8_t", "codes": "uint8_t", "sums": "int32_t"}.get(
            self.value.kind, "float"
        )


@dataclass(frozen=True, kw_only=True)
class Pass:
    """The calls of one pass.

    Attributes:
        calls: In order; those that do not depend on the noise come first.
        offsets: Offset of each value in the workspace.
        nbytes: Size of the workspace.
        outputs: The outputs.
    """

    calls: tuple[Call, ...]
    offsets: Mapping[str, int]
    nbytes: int
    outputs: tuple[Output, ...]

    @property
    def shared(self) -> tuple[Call, ...]:
        """The calls that samples share."""
        return tuple(call for call in self.calls if not call.is_sampled)

    @property
    def sampled(self) -> tuple[Call, ...]:
        """The calls that depend on the noise."""
        return tuple(call for call in self.calls if call.is_sampled)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network, ready to be written as C.

    Attributes:
        artifact: What it was made from.
        constants: The constants of all passes.
        deterministic: The pass without noise.
        samples: A pass with noise for each stored draw of the weights; none without noise.
    """

    artifact: Artifact
    constants: Constants
    deterministic: Pass
    samples: tuple[Pass, ...]

    @property
    def workspace_bytes(self) -> int:
        """Bytes that all passes need, with the sums over samples of the outputs."""
        return max(self.pass_bytes + self.totals_bytes, 1)

    @property
    def pass_bytes(self) -> int:
        """Bytes of the larger pass, a multiple of 16."""
        most = max(one.nbytes for one in (self.deterministic, *self.samples))
        return -(-most // 16) * 16

    @property
    def totals_bytes(self) -> int:
        """Bytes of a double for each number of an output; 0 without noise."""
        count = sum(output.count for output in self.deterministic.outputs)
        return 8 * count if self.samples else 0


def network_of(artifact: Artifact) -> Network:
    """Translate an artifact.

    Raises:
        UnsupportedError: If the exported C lacks a part of it; the message names all of them.
    """
    constants, missing = Constants(), list[str]()
    shape, dtype = artifact.graph.input_shape, artifact.graph.input_dtype
    if dtype not in (np.uint8, np.float32):
        missing.append(f"an input of {dtype} {shape}")
    kinds = artifact.output_kinds
    plan = Plan(artifact.deterministic.graph, forms=FORMS_OF_C)
    deterministic = _pass_of(plan, kinds, constants, missing)
    samples = []
    if artifact.is_stochastic:
        for draw in range(count_weight_draws(artifact.graph)):
            plan = Plan(artifact.graph, draw, forms=FORMS_OF_C)
            samples.append(_pass_of(plan, kinds, constants, missing))
    if missing:
        parts = "; ".join(dict.fromkeys(missing))
        raise UnsupportedError(f"the exported C lacks {parts}; bnnkit's runtime runs the file")
    return Network(
        artifact=artifact,
        constants=constants,
        deterministic=deterministic,
        samples=tuple(samples),
    )


def _pass_of(
    plan: Plan, kinds: Sequence[OutputKind], constants: Constants, missing: list[str]
) -> Pass:
    """Translate a plan; what C lacks is appended to `missing`."""
    steps, values = with_pooled_sums(plan)
    translation = Translation(values, constants, {})
    calls: list[Call] = []
    node_kinds = {node.name: node.kind for node in plan.graph.nodes}
    for step in steps:
        try:
            calls += translation.calls(step)
        except UnsupportedError as error:
            text = str(error).replace(UNNAMED, node_kinds.get(step.name, UNNAMED))
            missing.append(f"{text} (node {step.name!r})")
    outputs = tuple(_outputs(plan, values, kinds, missing))
    if missing:
        return Pass(calls=(), offsets={}, nbytes=0, outputs=())
    ordered = _ordered(_without_repeats(calls), plan.noise_dependent)
    sizes = {name: bytes_of(value) for name, value in values.items() if value.kind != "image"}
    kept = {output.stored for output in outputs} | _shared_reads(ordered)
    offsets, nbytes = place(ordered, sizes, kept)
    missing += _too_large(values, nbytes)
    return Pass(calls=ordered, offsets=offsets, nbytes=nbytes, outputs=outputs)


def _too_large(values: Mapping[str, Value], nbytes: int) -> Iterator[str]:
    """Name what the exported C, which counts bytes in int32, cannot index."""
    for name, value in values.items():
        if value.kind != "shape" and bytes_of(value) > MOST_BYTES:
            yield f"values of more than {MOST_BYTES:,} bytes, such as {name!r}"
            return
    if nbytes > MOST_BYTES:
        yield f"a workspace of more than {MOST_BYTES:,} bytes"


def _outputs(
    plan: Plan, values: Mapping[str, Value], kinds: Sequence[OutputKind], missing: list[str]
) -> Iterator[Output]:
    for name, kind in zip(plan.graph.outputs, kinds, strict=True):
        stored = plan.stored_as(name)
        if stored is None:
            missing.append(f"an output {name!r} that is the same for every image")
            continue
        value = values[stored]
        is_supported = value.kind in ("signs", "sums", "codes") or (
            value.kind == "real" and value.dtype == np.float32
        )
        if not is_supported or kind == "integers":
            missing.append(f"an output {name!r} of {value.dtype}")
        elif kind == "scores" and len(values[stored].shape) != 1:
            missing.append(f"class scores {name!r} that are a map")
        else:
            yield Output(name=name, kind=kind, value=value, stored=stored)


def _without_repeats(calls: Sequence[Call]) -> list[Call]:
    """Leave out the second clearing of a value, to which several steps copy their parts."""
    seen, kept = set[tuple[str, tuple[str, ...]]](), []
    for call in calls:
        key = call.code, call.writes
        if call.reads or key not in seen:
            kept.append(call)
        if not call.reads:
            seen.add(key)
    return kept


def _ordered(calls: Sequence[Call], noise_dependent: frozenset[str]) -> tuple[Call, ...]:
    """Mark the calls that depend on the noise and put the others first."""
    sampled, marked = set(noise_dependent), []
    for call in calls:
        is_sampled = call.is_sampled or not sampled.isdisjoint({*call.reads, *call.writes})
        if is_sampled:
            sampled |= {*call.writes}
        marked.append(replace(call, is_sampled=is_sampled))
    return tuple(sorted(marked, key=lambda call: call.is_sampled))


def _shared_reads(calls: Sequence[Call]) -> set[str]:
    """Values that all samples of an image read, so that no sample may overwrite them."""
    shared = {name for call in calls if not call.is_sampled for name in call.writes}
    read = {name for call in calls if call.is_sampled for name in call.reads}
    return shared & read
