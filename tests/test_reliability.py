import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnkit.errors import FileError, MissingExtraError, UsageError
from bnnkit.evaluation.metrics import N_BINS, ece
from bnnkit.evaluation.reliability import draw_reliability, reliability


def _predictions(seed: int, n: int = 500) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(4, 0.4), n).astype(np.float32)
    return probabilities, rng.integers(0, 4, n)


@pytest.mark.parametrize("seed", range(5))
def test_bins_are_those_of_the_calibration_error(seed: int) -> None:
    probabilities, labels = _predictions(seed)
    bins = reliability(probabilities, labels)
    assert bins.count.sum() == len(labels)
    assert bins.count.shape == bins.confidence.shape == bins.accuracy.shape == (N_BINS,)
    gap = np.abs(bins.accuracy - bins.confidence)
    found = (bins.count * gap).sum() / len(labels)
    assert found == pytest.approx(ece(probabilities, labels), abs=1e-6)


def test_bins_by_hand() -> None:
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]])
    bins = reliability(probabilities, np.array([0, 0, 0, 1]), n_bins=4)
    np.testing.assert_array_equal(bins.count, [0, 0, 1, 3])  # 0.5 and 0.75 are lower edges
    np.testing.assert_array_equal(bins.confidence, [0, 0, 0.5, 2.5 / 3])
    np.testing.assert_array_equal(bins.accuracy, [0, 0, 1, 2 / 3])


def test_the_picture_is_whole_or_not_there(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "reliability.png"
    draw_reliability(*_predictions(0), path, title="a network")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(FileError, match="cannot write"):
        draw_reliability(*_predictions(0), tmp_path / "none" / "r.png", title="a network")


@pytest.mark.parametrize(
    ("name", "start"), [("r.PNG", b"\x89PNG"), ("r.svg", b"<?xml"), ("r.pdf", b"%PDF")]
)
def test_the_format_is_that_of_the_name(tmp_path: Path, name: str, start: bytes) -> None:
    pytest.importorskip("matplotlib")
    draw_reliability(*_predictions(0), tmp_path / name, title="a network")
    assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["r.foo", "r", "r.jpg"])
def test_other_formats_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"expected a name that ends in .png, .svg or .pdf"):
        draw_reliability(*_predictions(0), tmp_path / name, title="a network")
    assert list(tmp_path.iterdir()) == []


def test_the_picture_tells_how_many_images_a_bin_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    probabilities = np.array([[0.5, 0.5], [0.99, 0.01], [0.01, 0.99]])
    draw_reliability(probabilities, np.array([0, 0, 0]), tmp_path / "r.png", title="a network")
    accuracy, count = drawn[0].axes
    heights = [bar.get_height() for bar in count.patches]
    assert heights == reliability(probabilities, np.array([0, 0, 0])).count.tolist()
    assert [text.get_text() for text in count.texts if text.get_text()] == ["1", "2"]
    assert sum(bar.get_hatch() is not None for bar in accuracy.patches) == N_BINS - 2


class _WithoutMatplotlib:
    """A finder of modules that does not find one of them."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "matplotlib":
            raise ModuleNotFoundError(name=name)


def test_missing_matplotlib_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_WithoutMatplotlib(), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=r"bnnkit\[plot\]"):
        draw_reliability(*_predictions(0), tmp_path / "r.png", title="a network")
