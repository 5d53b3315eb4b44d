"""Every attribute of every operator's schema is honoured or refused by name, never dropped."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from operator_attributes import EXAMPLES, IMAGES, VALUES, Case, cases, versions
from tflite_runs import assert_equal_by_xnnpack, needs_lce

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.checks.computed import ELSEWHERE
from bnnkit.artifact.reference import Reference
from bnnkit.artifact.standard import SEVERAL_OUTPUTS, STANDARD_OPERATORS
from bnnkit.errors import BnnkitError
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.export.tflite.lower import LOWERINGS as TO_TFLITE
from bnnkit.runtime import Model

Array = NDArray[Any]
Run = Callable[[Array], Any]

ACCEPTED = sorted(STANDARD_OPERATORS.keys() | SEVERAL_OUTPUTS.keys() | ELSEWHERE)
"""Operators that the runtime accepts. The reference and conversion accept all of ONNX's."""
KINDS = pytest.mark.parametrize("kind", sorted(EXAMPLES))
WITHOUT_EFFECT = {
    ("BatchNormalization", "momentum"): "for training",
    ("BatchNormalization", "training_mode"): "has outputs of its own",
    ("Cast", "round_mode"): "for float8",
    ("Cast", "saturate"): "for float8",
    ("Conv", "kernel_shape"): "must be that of the weights",
    ("ConvTranspose", "kernel_shape"): "must be that of the weights",
    **{
        (kind, name): why
        for kind in ("LSTM", "GRU", "RNN")
        for name, why in (
            ("hidden_size", "must be that of the weights"),
            ("activation_alpha", "of other activations"),
            ("activation_beta", "of other activations"),
        )
    },
    ("Dropout", "seed"): "for training",
    ("LayerNormalization", "stash_type"): "ONNX Runtime computes in float32 all the same",
    ("MaxPool", "storage_order"): "of the places of the maxima",
    ("Reshape", "allowzero"): "for inputs without elements",
    ("Resize", "extrapolation_value"): "for tf_crop_and_resize",
}
"""Attributes that change no result here, and why."""
NARROW = {"stash_type"}
"""Attributes by which ONNX Runtime computes with less precision than float32."""


def test_every_accepted_operator_with_attributes_has_an_example() -> None:
    with_attributes = {
        kind
        for kind in {*ACCEPTED, *(name for name in TO_TFLITE if "." not in name)}
        if any(onnx.defs.get_schema(kind, opset, "").attributes for opset in versions(kind))
    }
    assert with_attributes == EXAMPLES.keys()


def test_every_attribute_has_other_values() -> None:
    names = {
        name
        for kind in EXAMPLES
        for opset in versions(kind)
        for name in onnx.defs.get_schema(kind, opset, "").attributes
    }
    assert names == VALUES.keys()


@cache
def known_cases(kind: str) -> list[tuple[Case, list[Array]]]:
    """Return the cases of an operator that are valid, with the results of another engine."""
    found = []
    for case in cases(kind):
        results = truth(case.model, case.images)
        if results is not None:
            _state_shapes(case.model, results)
            found.append((case, results))
    return found


def _state_shapes(model: onnx.ModelProto, results: Sequence[Array]) -> None:
    """State the shapes of the outputs, where ONNX did not infer them."""
    for value, result in zip(model.graph.output, results, strict=True):
        sizes = ["N" if size == IMAGES and i == 0 else size for i, size in enumerate(result.shape)]
        value.CopyFrom(
            helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, sizes)
        )


def truth(model: onnx.ModelProto, images: Array) -> list[Array] | None:
    """Return the results of ONNX Runtime, or of ONNX's reference for what it lacks."""
    ort.set_default_logger_severity(4)
    try:
        session = ort.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        return list(session.run(None, {"x": images}))
    except Exception:  # errors of ONNX Runtime have no class of their own
        pass
    try:
        return list(ReferenceEvaluator(model).run(None, {"x": images}))
    except Exception:  # nor have those of the reference
        return None


def is_same(results: Any, wanted: Sequence[Array], tolerance: float) -> bool:
    results = list(results) if isinstance(results, list | tuple) else [results]
    return len(results) == len(wanted) and all(
        (got.shape, got.dtype) == (want.shape, want.dtype)
        and np.allclose(as_numbers(got), as_numbers(want), tolerance, tolerance)
        for got, want in zip(map(as_bits, results), map(as_bits, wanted), strict=True)
    )


def as_bits(x: Array) -> Array:
    """Return float8 as bytes, as ONNX Runtime gives it."""
    return x.view(np.uint8) if x.dtype.name.startswith("float8") else x


def as_numbers(x: Array) -> Array:
    return x.astype(np.float64)


def assert_honoured(kind: str, engine: Callable[[onnx.ModelProto], Run]) -> None:
    """Check that an engine gives the known results, or refuses the model by name."""
    for case, wanted in known_cases(kind):
        tolerance = 1e-2 if case.attribute in NARROW else 1e-5
        try:
            run = engine(case.model)
        except BnnkitError as error:
            words = (kind, case.attribute, "number of images", "input")
            assert any(word in str(error) for word in words), f"{case}: {error}"  # noqa: PT017
            continue
        assert is_same(run(case.images), wanted, tolerance), str(case)


def in_numpy(model: onnx.ModelProto) -> Run:
    return Model(Artifact(model)).run


def in_kernels(model: onnx.ModelProto) -> Run:
    """Compute the input inside the network, so that operators with kernels use them."""
    inside = onnx.ModelProto()
    inside.CopyFrom(model)
    if inside.graph.input[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        return in_numpy(model)
    (node,) = inside.graph.node
    for index, name in enumerate(node.input):
        if name == "x":
            node.input[index] = "inside"
    inside.graph.initializer.append(numpy_helper.from_array(np.ones((), np.float32), "one"))
    inside.graph.node.insert(0, helper.make_node("Mul", ["x", "one"], ["inside"], name="Mul"))
    return in_numpy(inside)


@pytest.mark.slow
@KINDS
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of ONNX's reference
def test_results_depend_on_each_attribute(kind: str) -> None:
    """Else the tests below could not see that it is dropped."""
    changed = set()
    seen = set()
    for case, results in known_cases(kind):
        seen.add(case.attribute)
        plain = truth(case.plain, case.images)
        if plain is None or not is_same(results, plain, 1e-6):
            changed.add(case.attribute)
    unchanged = {(kind, name) for name in seen - changed}
    assert unchanged <= WITHOUT_EFFECT.keys()


@pytest.mark.slow
@KINDS
@pytest.mark.parametrize("engine", [in_numpy, in_kernels])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_runtime_honours_attributes(
    kind: str, engine: Callable[[onnx.ModelProto], Run]
) -> None:
    assert_honoured(kind, engine)


@pytest.mark.slow
@KINDS
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_reference_honours_attributes(kind: str) -> None:
    assert_honoured(kind, lambda model: Reference(Artifact(model)).run)


def converted(model: onnx.ModelProto) -> Run:
    """Convert the model with a binary layer beside it, without which it would be refused."""
    source = onnx.ModelProto()
    source.CopyFrom(model)
    graph = source.graph
    features = int(
        np.prod([axis.dim_value for axis in graph.input[0].type.tensor_type.shape.dim][1:])
    )
    numbers = {
        "zero": np.zeros((), np.float32),
        "plus": np.ones((), np.float32),
        "minus": -np.ones((), np.float32),
        "rows": np.array([0, -1]),
        "weights": np.where(np.arange(3 * features).reshape(features, 3) % 5 < 2, -1, 1).astype(
            "f"
        ),
    }
    graph.initializer.extend(numpy_helper.from_array(n, name) for name, n in numbers.items())
    graph.node.extend(
        [
            helper.make_node("Cast", ["x"], ["real"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Reshape", ["real", "rows"], ["flat"]),
            helper.make_node("GreaterOrEqual", ["flat", "zero"], ["is_plus"]),
            helper.make_node("Where", ["is_plus", "plus", "minus"], ["signs"]),
            helper.make_node("MatMul", ["signs", "weights"], ["sums"]),
        ]
    )
    graph.output.append(helper.make_tensor_value_info("sums", onnx.TensorProto.FLOAT, ["N", 3]))
    artifact, _ = from_onnx(source)
    return lambda images: Reference(artifact).run(images)[:-1]


@pytest.mark.slow
@KINDS
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_conversion_honours_attributes(kind: str) -> None:
    assert_honoured(kind, converted)


@pytest.mark.slow
@needs_lce
@pytest.mark.parametrize("kind", sorted(EXAMPLES.keys() & TO_TFLITE.keys()))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_tflite_honours_attributes(kind: str) -> None:
    for case, _ in known_cases(kind):
        try:
            assert_equal_by_xnnpack(Artifact(case.model), case.images, "builtin")
        except BnnkitError as error:
            words = (kind, case.attribute, "input", "output", "the batch of 'x'")
            assert any(word in str(error) for word in words), f"{case}: {error}"  # noqa: PT017
