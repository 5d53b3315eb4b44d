"""Operands whose shapes do not fit, and places of other images, are refused at load."""

from typing import Any

import numpy as np
import pytest
from artifacts import ArtifactBuilder

from bnnkit.artifact.artifact import Artifact
from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime import Model

STEPS, INPUTS, HIDDEN = 30_000, 4, 2
"""So many steps that the layer is not run when it is loaded."""


def lstm(attributes: dict[str, Any], *shapes: tuple[int, ...]) -> Artifact:
    a = ArtifactBuilder()
    weights = [a.constant(np.ones(shape, np.float32)) for shape in shapes]
    x = a.add("Transpose", "x", perm=[1, 0, 2])
    y = a.add("LSTM", x, *weights, **{"hidden_size": HIDDEN} | attributes)
    return a.artifact((STEPS, INPUTS), a.add("Transpose", y, perm=[2, 0, 1, 3]))


@pytest.mark.parametrize(
    ("attributes", "shapes", "message"),
    [
        ({}, [(1, 8, 5), (1, 8, 2)], r"expected weights of the shape \(1, 8, 4\)"),
        ({}, [(1, 8, 4), (1, 12, 3)], r"recurrent weights of the shape \(1, 8, 2\)"),
        ({}, [(2, 8, 4), (2, 8, 2)], r"expected weights of the shape \(1, 8, 4\)"),
        ({"direction": "bidirectional"}, [(1, 8, 4), (1, 8, 2)], r"shape \(2, 8, 4\)"),
        ({}, [(1, 8, 4), (1, 8, 2), (1, 7)], r"a bias of the shape \(1, 16\)"),
        ({"hidden_size": 1}, [(1, 8, 4), (1, 8, 2)], r"expected weights of the shape \(1, 4, 4\)"),
        ({}, [(1, 8, 4), (8, 2)], "recurrent weights of three axes"),
    ],
)
def test_weights_of_recurrent_layers(
    attributes: dict[str, Any], shapes: list[tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        Model(lstm(attributes, *shapes))


@pytest.mark.parametrize("equation", ["b......->b", "b.ij->b", "bij->b->b", "b!j->b"])
def test_equations(equation: str) -> None:
    a = ArtifactBuilder()
    model = a.artifact((3, 4), a.add("Einsum", "x", equation=equation))
    with pytest.raises(ArtifactError, match="expected an equation"):
        Model(model)


def test_places_have_an_index_for_each_axis() -> None:
    """One axis fewer would read a whole row for each place."""
    a = ArtifactBuilder()
    first = a.add("ReduceSum", "x", a.constant(np.array([1])), keepdims=0)
    found = a.add("GatherElements", "x", a.add("Cast", first, to=7), axis=1)
    model = a.artifact((4, 1 << 17), found)
    with pytest.raises(ArtifactError, match="expected data and indices of as many axes"):
        Model(model)


def test_updates_have_the_shape_of_their_places() -> None:
    a = ArtifactBuilder()
    places, update = a.constant(np.zeros((2, 1), np.int64)), a.constant(np.zeros((), np.float32))
    base = a.constant(np.zeros((4, 6), np.float32))
    found = a.add("Add", "x", a.add("ScatterND", base, places, update))
    with pytest.raises(ArtifactError, match=r"expected updates of the shape \(2, 6\)"):
        Model(a.artifact((4, 6), found))


def places_of_images(a: ArtifactBuilder, *shape: int) -> str:
    """Return places that are 0 for every image."""
    zeros = a.add("Mul", "x", a.constant(np.zeros(shape, np.float32)))
    return a.add("Cast", zeros, to=7)


def rows_of_a_constant(a: ArtifactBuilder) -> str:
    """Image n reads row n of the constant."""
    constant = a.constant(np.arange(32, dtype=np.float32).reshape(8, 4))
    return a.add("GatherElements", constant, places_of_images(a, 1, 4), axis=1)


def rows_of_a_batch(a: ArtifactBuilder) -> str:
    """The same with GatherND, whose `batch_dims` gives each image the row of its index."""
    constant = a.constant(np.arange(32, dtype=np.float32).reshape(8, 4))
    places = a.add("Unsqueeze", places_of_images(a, 1, 4), a.constant(np.array([2])))
    return a.add("GatherND", constant, places, batch_dims=1)


def first_image(a: ArtifactBuilder) -> str:
    """Updates are written to the first image alone."""
    places, update = a.constant(np.zeros((1, 2), np.int64)), np.zeros((1, 2), np.float32)
    return a.add("ScatterElements", "x", places, a.constant(update), axis=1)


@pytest.mark.parametrize("build", [rows_of_a_constant, rows_of_a_batch, first_image])
def test_images_that_are_told_apart_by_their_index(build: Any) -> None:
    a = ArtifactBuilder()
    model = a.artifact((4,), build(a))
    with pytest.raises(UnsupportedError, match="mixes the images of a batch"):
        Model(model)


def places_of_maxima(a: ArtifactBuilder, size: int) -> str:
    """Return the places of a MaxPool, of the first window of each map."""
    maxima = a.add("MaxPool", "x", kernel_shape=[size, size], strides=[size, size])
    places = f"{maxima}_places"
    a.nodes[-1].output.append(places)
    ends = [a.constant(np.array([0, 0])), a.constant(np.array([1, 1]))]
    return a.add("Slice", places, *ends, a.constant(np.array([2, 3])))


def test_places_that_count_the_images_before_are_refused() -> None:
    a = ArtifactBuilder()
    model = a.artifact((3, 4, 4), a.add("Cast", places_of_maxima(a, 2), to=1))
    with pytest.raises(UnsupportedError, match=r"MaxPool.*mixes the images of a batch"):
        Model(model)


def test_places_in_a_map_are_computed() -> None:
    """As torch exports them: minus the place of the first pixel."""
    a = ArtifactBuilder()
    found = a.add("Sub", places_of_maxima(a, 2), places_of_maxima(a, 1))
    model = Model(a.artifact((3, 4, 4), a.add("Cast", found, to=1)))
    x = np.random.default_rng(0).normal(size=(70, 3, 4, 4)).astype(np.float32)
    windows = x[:, :, :2, :2].reshape(70, 3, 4).argmax(2)
    expected = np.array([0, 1, 4, 5])[windows].reshape(70, 3, 1, 1)
    assert np.array_equal(model.run(x), expected)


def test_a_table_that_is_read_along_its_first_axis() -> None:
    a = ArtifactBuilder()
    table = np.arange(32, dtype=np.float32).reshape(8, 4)
    places = a.add("Cast", "x", to=7)
    model = Model(a.artifact((4,), a.add("GatherElements", a.constant(table), places, axis=0)))
    x = np.array([[0, 1, 2, 3], [7, 7, 0, 0], [4, 5, 6, 7]], np.float32)
    assert np.array_equal(model.run(x), np.take_along_axis(table, x.astype(np.int64), 0))
