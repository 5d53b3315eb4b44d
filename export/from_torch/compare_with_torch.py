"""Compares an artifact with the torch model that it was exported from, before it is written.

Both run an example and a random input without noise. If their outputs agree, nothing else is
computed. If not, the reference executes the artifact again and keeps every value. The values are
compared with the outputs of the torch modules in the order of the graph, until one differs. A sign
of a number that is 0 up to rounding may differ; its input is left out from there on, as `verify`
does (artifact/rounding.py).
"""

import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.input_batch import Batch, InputBatch, feeds
from bnnkit.artifact.reference import Reference
from bnnkit.artifact.rounding import MARGIN, OUTPUT_TOLERANCE, signs_that_torch_may_round
from bnnkit.artifact.sign_axes import as_stored, channels_last_signs
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.nn.evaluating import evaluating
from bnnkit.nn.several_inputs import Tensors, called, each
from bnnkit.nn.sign import Sign

Array = NDArray[Any]
Executor = Callable[[Artifact, Batch], list[Array]]

_RELATIVE: Final = 1e-3
"""The tolerance of real numbers in units of the largest number of their tensor."""
_SHARE: Final = 1e-3
"""The share of the numbers of a tensor that may differ: those where rounding decides a jump."""
_SMALL: Final = 300_000
"""The reference runs networks with fewer numbers in their values. ONNX Runtime, if installed, runs
the larger ones: it takes longer to open a file, and the reference takes seconds there."""


def compare_with_torch(artifact: Artifact, model: nn.Module, example: Tensors) -> None:
    """Check that an artifact computes what its model computes.

    Args:
        artifact: The artifact; its pass without noise is compared.
        model: The torch model that it was exported from.
        example: A batch of inputs, (N, ...). The first is compared, and a random one: uniform for
            integers, up to the largest of the example unless they are uint8; normal for float32.

    Warns:
        UserWarning: Nothing was compared, because no executor has the file's operators.

    Raises:
        UnsupportedError: They differ, and the message names the first layer; or the reference has
            all operators of the file and fails to run it.
    """
    inputs = _inputs(model, example)
    expected = _outputs(model, inputs)
    found = _run(artifact, _batch(artifact, inputs))
    if found is not None and not _same_outputs(expected, found):
        _name_difference(artifact, model, inputs)


def check_accepted(model: nn.Module, example: Tensors) -> None:
    """Check that a model accepts the example, whose type plain tracing does not look at.

    Raises:
        UsageError: It does not, such as a float64 model.
    """
    _outputs(model, _inputs(model, example))


def _inputs(model: nn.Module, example: Tensors) -> Tensors:
    """The first input of the example, and a random one if the model accepts it."""
    generator = torch.Generator().manual_seed(0)
    drawn = {name: _drawn(one, generator) for name, one in each(example).items()}
    first = {name: one[:1].detach() for name, one in each(example).items()}
    pair, alone = (
        found[""] if isinstance(example, Tensor) else found
        for found in ({name: torch.cat([first[name], drawn[name]]) for name in first}, first)
    )
    if len(next(iter(first.values()))) == 0:
        return pair
    try:
        _outputs(model, pair)
    except UsageError:  # the model may refuse what it was not made for, such as an index
        return alone
    return pair


def _drawn(example: Tensor, generator: torch.Generator) -> Tensor:
    """One random input in the form of an example."""
    shape = (1, *example.shape[1:])
    if example.is_floating_point():
        return torch.randn(shape, generator=generator)
    whole = {torch.uint8: 255, torch.bool: 1}
    largest = int(example.max()) if example.numel() else 0
    high = whole.get(example.dtype, max(largest, 0)) + 1
    return torch.randint(0, high, shape, dtype=example.dtype, generator=generator)


def _batch(artifact: Artifact, inputs: Tensors) -> Batch:
    """The inputs as an artifact takes them."""
    if isinstance(inputs, Tensor):
        return inputs.numpy()
    names = artifact.graph.input_names
    tensors = inputs.values()
    return InputBatch({name: one.numpy() for name, one in zip(names, tensors, strict=True)})


def _outputs(model: nn.Module, inputs: Tensors) -> list[Array]:
    """The model's outputs.

    Raises:
        UsageError: The model does not accept the inputs, such as a half-precision one.
    """
    try:
        with evaluating(model):
            leaves = tree_leaves(called(model, inputs))
    except Exception as error:  # of the user's code
        raise UsageError(f"the model does not accept the example: {_first_line(error)}") from error
    return [leaf.numpy() for leaf in leaves if isinstance(leaf, Tensor)]


def _run(artifact: Artifact, inputs: Batch) -> list[Array] | None:
    """The artifact's outputs, from what is likely to be faster; None if nothing can run it.

    Raises:
        UnsupportedError: As `compare_with_torch`.
    """
    executors: list[Executor] = [_run_in_reference, _run_in_onnxruntime]
    errors: dict[Executor, Exception] = {}
    for run in executors if _n_numbers(artifact) < _SMALL else reversed(executors):
        try:
            return run(artifact, inputs)
        except Exception as error:  # not installed, or it lacks an operator: no common class
            errors[run] = error
    _explain_failure(errors[_run_in_reference])
    return None


def _explain_failure(error: Exception) -> None:
    """Warn that nothing was compared if the reference lacks an operator or memory; else raise.

    Raises:
        UnsupportedError: The reference failed at an operator that it has: the file is wrong.
    """
    if not isinstance(error, UnsupportedError | MemoryError):
        raise _error(f"it cannot be run: {_first_line(error)}") from error
    reason = "not enough memory" if isinstance(error, MemoryError) else error
    warnings.warn(
        f"the file was not compared with torch: {reason}; check it with an engine that can run it",
        stacklevel=5,  # the caller of export_onnx
    )


def _run_in_reference(artifact: Artifact, inputs: Batch) -> list[Array]:
    return Reference(artifact).run(inputs)


def _n_numbers(artifact: Artifact) -> int:
    """The numbers in all values of the artifact whose shapes are stated, for one input."""
    return sum(
        int(np.prod([axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim]))
        for value in artifact.model.graph.value_info
    )


def _run_in_onnxruntime(artifact: Artifact, inputs: Batch) -> list[Array]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        artifact.to_bytes(), options, providers=["CPUExecutionProvider"]
    )
    found: list[Array] = session.run(None, feeds(artifact.graph.input_names, inputs))
    return found


def _same_outputs(expected: list[Array], found: list[Array]) -> bool:
    return len(expected) == len(found) and all(map(_is_close, expected, found))


def _is_close(expected: Array, found: Array) -> bool:
    """Whether two tensors are equal up to rounding."""
    if expected.shape != found.shape:
        return False
    want, have = expected.astype(np.float64), found.astype(np.float64)
    largest = np.abs(want, where=np.isfinite(want), out=np.zeros_like(want)).max(initial=0)
    limit = max(OUTPUT_TOLERANCE, _RELATIVE * largest)
    near = np.isclose(want, have, rtol=0, atol=limit, equal_nan=True)
    return int(near.size - near.sum()) <= _SHARE * near.size


def _name_difference(artifact: Artifact, model: nn.Module, inputs: Tensors) -> None:
    """Raise the error, unless rounding explains the difference.

    Raises:
        UnsupportedError: As `compare_with_torch`.
    """
    trace = _Trace(model, inputs, channels_last_signs(artifact))
    try:
        values = Reference(artifact).run_all(_batch(artifact, inputs))
    except Exception as error:  # its errors have no common class
        raise _error("an output differs") from error
    rounds = signs_that_torch_may_round(artifact)
    agree = np.ones(len(next(iter(each(inputs).values()))), np.bool_)
    last = {_path(node.name): node for node in artifact.model.graph.node}
    for node in artifact.model.graph.node:
        name = node.output[0]
        if name in trace.signs:
            differs = trace.differing_images(name, values[name]) & agree
            excused = differs & (name in rounds) & trace.near_zero(name, values[name])
            if (differs & ~excused).any():
                raise _error(f"the signs of {name!r} differ")
            agree &= ~excused
        elif node is last[_path(node.name)] and not trace.explains(node.name, values[name], agree):
            raise _error(trace.description(node.name))
    names = [value.name for value in artifact.model.graph.output]
    found = [values[name][agree] for name in names]
    if not _same_outputs([output[agree] for output in trace.outputs], found):
        raise _error(f"the output {', '.join(map(repr, names))} differs")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _error(part: str) -> UnsupportedError:
    return UnsupportedError(
        f"expected a file that computes what torch computes, but {part}: its translation"
        " to ONNX is wrong; use another layer in its place (compare=False writes the file anyway)"
    )


class _Trace:
    """What the modules of a model compute.

    Args:
        model: The model.
        inputs: Its inputs, (N, ...).
        channels_last: The names of signs that the artifact stores as maps of channels last.

    Attributes:
        outputs: The outputs of the model.
        signs: The outputs of its `Sign` modules, by the names that they have in an artifact.
    """

    def __init__(
        self, model: nn.Module, inputs: Tensors, channels_last: Collection[str] = ()
    ) -> None:
        self.signs: dict[str, Array] = {}
        self._before_signs: dict[str, Array] = {}
        self._by_path: dict[str, list[Array]] = {}
        self._modules = dict(model.named_modules())
        calls: Counter[str] = Counter()

        def keep(path: str, module: nn.Module, x: Any, y: Any) -> None:
            if not isinstance(y, Tensor):
                return
            if isinstance(module, Sign):
                calls[path] += 1
                name = path if calls[path] == 1 else f"{path}#{calls[path]}"
                is_last = name in channels_last
                self.signs[name] = as_stored(y.numpy(), y.dim(), channels_last=is_last)
                self._before_signs[name] = as_stored(x[0].numpy(), y.dim(), channels_last=is_last)
            self._by_path.setdefault(path, []).append(y.numpy().copy())

        with _watching(self._modules, keep):
            self.outputs = _outputs(model, inputs)

    def differing_images(self, name: str, codes: Array) -> NDArray[np.bool_]:
        """Which images have other signs than the codes 0 and 2, (N,)."""
        differs = self.signs[name].reshape(codes.shape) + 1 != codes
        return np.asarray(differs.reshape(len(codes), -1).any(axis=1))

    def near_zero(self, name: str, codes: Array) -> NDArray[np.bool_]:
        """Which images have other signs only of numbers that are 0 up to rounding, (N,)."""
        real = self._before_signs[name].reshape(codes.shape)
        differs = self.signs[name].reshape(codes.shape) + 1 != codes
        size = np.sqrt(np.mean(np.square(real, dtype=np.float64))) or 1.0
        far = differs & (np.abs(real) > MARGIN * size)
        return ~np.asarray(far.reshape(len(codes), -1).any(axis=1))

    def explains(self, node: str, value: Array, images: NDArray[np.bool_]) -> bool:
        """Whether a node's value is not the output of its module, or equals that of a module.

        Torch's exporter folds a batch norm into a convolution, so the output may be that of the
        module after it.
        """
        mine = self._by_path.get(_path(node), [])
        if value.dtype != np.float32 or not any(output.shape == value.shape for output in mine):
            return True
        all_outputs = (output for outputs in self._by_path.values() for output in outputs)
        same_shape = (output for output in all_outputs if output.shape == value.shape)
        return any(_is_close(output[images], value[images]) for output in same_shape)

    def description(self, node: str) -> str:
        """The error message's part on a node's module."""
        path = _path(node)
        return f"the output of {path!r} ({type(self._modules[path]).__name__}) differs"


def _path(node: str) -> str:
    """The path of the module that a node is named after: "a.b" of "a.b/Mul#2" and of "a.b#2"."""
    return node.partition("/")[0].partition("#")[0]


@contextmanager
def _watching(
    modules: Mapping[str, nn.Module], keep: Callable[[str, nn.Module, Any, Any], None]
) -> Iterator[None]:
    """Call `keep` with the path, input and output of every module that is called."""
    handles = [
        module.register_forward_hook(lambda m, x, y, path=path: keep(path, m, x, y))
        for path, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
