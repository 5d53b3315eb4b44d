"""Models that are pickled, copied, and sent to worker processes."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnx
import pytest
from artifacts import digits_like, noisy_digits_like
from worker_process import Examples, run_in_process

from bnnkit.artifact.artifact import Artifact
from bnnkit.errors import MissingExtraError, UsageError
from bnnkit.runtime import Model, load

COPIES = {
    "pickled": lambda model: pickle.loads(pickle.dumps(model)),
    "copied": copy.copy,
    "copied deeply": copy.deepcopy,
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_gives_the_same_bits(how: str) -> None:
    artifact, images = noisy_digits_like()
    model = Model(artifact)
    model.run(images, threads=2)  # it has memory and threads, which are not copied
    twin = COPIES[how](model)
    assert type(twin) is Model
    assert (twin.metadata, twin.input_shape) == (model.metadata, model.input_shape)
    np.testing.assert_array_equal(twin.run(images, threads=2), model.run(images))
    found = twin.predict(images, samples=3, seed=5)
    np.testing.assert_array_equal(found, model.predict(images, samples=3, seed=5))


def test_a_copy_does_not_need_the_file(model: Path) -> None:
    loaded = load(model)
    model.unlink()
    images = digits_like()[1]
    np.testing.assert_array_equal(copy.deepcopy(loaded).run(images), loaded.run(images))


def test_loading_does_not_serialize_the_network(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Artifact, "to_bytes")
    loaded = load(model)
    images = digits_like()[1]
    np.testing.assert_array_equal(copy.deepcopy(loaded).run(images), loaded.run(images))


def test_a_tflite_file_is_copied() -> None:
    model = load(Path(__file__).parent / "data" / "lce" / "activations.tflite")
    x = np.random.default_rng(0).standard_normal((2, *model.input_shape)).astype(model.input_dtype)
    np.testing.assert_array_equal(copy.deepcopy(model).run(x), model.run(x))


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_models_go_to_worker_processes(method: str) -> None:
    artifact, images = digits_like()
    model = Model(artifact)
    want = model.run(images, threads=2)
    context = get_context(method)
    with context.Pool(1) as pool:
        found = pool.apply_async(run_in_process, (model, images)).get(timeout=120)
    np.testing.assert_array_equal(found, want)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        found = executor.submit(run_in_process, model, images).result(timeout=120)
    np.testing.assert_array_equal(found, want)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_models_run_in_the_workers_of_a_data_loader(method: str) -> None:
    torch = pytest.importorskip("torch")
    artifact, images = digits_like()
    model = Model(artifact)
    want = model.run(images, threads=2)
    loader = torch.utils.data.DataLoader(
        Examples(model, images), batch_size=2, num_workers=2, multiprocessing_context=method
    )
    np.testing.assert_array_equal(np.concatenate([batch.numpy() for batch in loader]), want)


@pytest.mark.parametrize(
    "error", [UsageError("expected 1, got 2"), MissingExtraError("training", "train")]
)
def test_errors_come_back_from_worker_processes(error: Exception) -> None:
    """One that cannot be unpickled would make the pool of its parent wait for ever."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


def test_a_model_is_pickled_as_its_file(model: Path) -> None:
    loaded = load(model)
    size = len(onnx.load(model).SerializeToString())
    assert size < len(pickle.dumps(loaded)) < size + 200
