import sys
from pathlib import Path

import numpy as np
import pytest

from bnnkit.artifact.ensemble_config import Samples
from bnnkit.errors import FileError, MissingExtraError, UsageError
from bnnkit.evaluation.cost_curve import draw_cost
from bnnkit.evaluation.evaluate import Evaluation


def _evaluation(samples: Samples, microseconds: float, accuracy: float, ece: float) -> Evaluation:
    return Evaluation(
        samples=samples,
        mean_samples=3.0,
        accuracy=accuracy,
        nll=0.3,
        brier=0.1,
        ece=ece,
        microseconds=microseconds,
    )


POINTS = [
    _evaluation(0, 30, 0.889, 0.06),
    _evaluation(10, 290, 0.901, 0.022),
    _evaluation(1, 33, 0.865, 0.045),
    _evaluation("auto", 120, 0.9005, 0.024),
]


def test_the_curve_joins_fixed_numbers_in_the_order_of_their_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    draw_cost(POINTS, tmp_path / "c.png", title="a network")
    accuracy, ece = drawn[0].axes
    np.testing.assert_allclose(accuracy.lines[0].get_xydata(), [[33, 86.5], [290, 90.1]])
    np.testing.assert_allclose(ece.lines[0].get_xydata(), [[33, 0.045], [290, 0.022]])
    for axes in (accuracy, ece):
        assert len(axes.collections) == len(POINTS)
        assert [text.get_text() for text in axes.texts] == ["deterministic", "10", "1", "auto"]
    assert ece.get_ylim()[0] == 0


@pytest.mark.parametrize(
    ("name", "start"), [("c.PNG", b"\x89PNG"), ("c.svg", b"<?xml"), ("c.pdf", b"%PDF")]
)
@pytest.mark.parametrize("points", [POINTS, POINTS[:1], POINTS[3:]])
@pytest.mark.slow
def test_the_format_is_that_of_the_name(
    tmp_path: Path, points: list[Evaluation], name: str, start: bytes
) -> None:
    pytest.importorskip("matplotlib")
    draw_cost(points, tmp_path / name, title="a network")
    assert (tmp_path / name).read_bytes().startswith(start)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(UsageError, match=r"ends in .png, .svg or .pdf"):
        draw_cost(POINTS, tmp_path / "c.jpg", title="a network")
    with pytest.raises(FileError, match="cannot write"):
        draw_cost(POINTS, tmp_path / "none" / "c.png", title="a network")
    assert list(tmp_path.iterdir()) == []


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
        draw_cost(POINTS, tmp_path / "c.png", title="a network")
