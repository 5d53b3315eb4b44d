"""The Python in pages and docstrings runs, each page as one program, in its order."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("sybil")

import numpy as np
import torch
from sybil import Document, Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown import PythonCodeBlockParser
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit import gradients
from bnnkit.data import load

ROOT = Path(__file__).parents[1]
QUICK = ("explained/straight-through.md",)
"""The pages that take less than a tenth of a second after the imports."""
NEEDS = {"recipe.md": "torchvision", "guides/ecosystem.md": "huggingface_hub"}
"""Packages that a page uses and the tests do without."""


def _digits() -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
    """A network of digits whose signs draw their noise, and two batches of two digits."""
    digits = load("digits")
    x, y = torch.from_numpy(digits.x_train), torch.from_numpy(digits.y_train)
    layers = {
        "first": bnn.IntegerConv2d(1, 4, 3, zero_point=digits.zero_point or [0]),
        "norm": nn.BatchNorm2d(4).eval(),
        "sign": bnn.Sign(noise="logistic"),
        "layer1": nn.Conv2d(4, 4, 3),
        "last": nn.Sequential(nn.Flatten(), nn.Linear(4 * 16, 10)),
    }
    return nn.Sequential(OrderedDict(layers)), [(x[:2], y[:2]), (x[2:4], y[2:4])]


def _estimators(folder: Path) -> dict[str, Any]:
    network, batches = _digits()
    return {
        "torch": torch,
        "model": network,
        "batches": batches,
        "n_steps": 2,
        "images": torch.rand(3, 4),
        "encoder": nn.Linear(4, 5),
        "decoder_loss": lambda x, images: (x.sum(-1) - images.sum(-1)) ** 2,
    }


def _gradients(folder: Path) -> dict[str, Any]:
    network, batches = _digits()

    def losses_of_examples(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")

    given = {"model": network, "batches": batches, "losses_of_examples": losses_of_examples}
    return vars(gradients) | given


def _artifact(folder: Path, name: str = "digits.onnx") -> dict[str, Any]:
    from bnnkit.export import export_onnx

    network, batches = _digits()
    export_onnx(network.eval(), batches[0][0], folder / name)
    return {}


def _nothing(folder: Path) -> dict[str, Any]:
    return {}


READER_HAS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "estimators.md": _estimators,
    "artifact.md": _artifact,
    "guides/ensemble.md": lambda folder: _artifact(folder, "chosen.onnx"),
    "zoo.md": lambda folder: {"images": np.zeros((2, 3, 32, 32), np.uint8)},
    "gradients": _gradients,
}
"""What a page takes for granted, by page: names and their values."""


def _run(path: Path, document_type: type[Document], names: dict[str, Any]) -> int:
    """Run the code blocks of a file; return their number."""
    parsers = [PythonCodeBlockParser()]
    sybil = Sybil(parsers, document_types={path.suffix: document_type})
    document = sybil.parse(path)
    document.namespace.update(names)
    examples = list(document.examples())
    for example in examples:
        example.evaluate()
    return len(examples)


def pages() -> Iterator[Any]:
    for path in sorted((ROOT / "docs").rglob("*.md")):
        name = path.relative_to(ROOT / "docs").as_posix()
        if "```python" in path.read_text(encoding="utf-8"):
            yield pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])


@pytest.mark.parametrize("name", list(pages()))
def test_a_page(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    monkeypatch.chdir(tmp_path)
    given = READER_HAS.get(name, _nothing)(tmp_path)
    assert _run(ROOT / "docs" / name, Document, given) > 0


@pytest.mark.slow
def test_docstrings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = []
    for top in ("bnnkit", "export", "runtime"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if "```python" in path.read_text(encoding="utf-8"):
                given = READER_HAS.get(path.parent.name, _nothing)(tmp_path)
                assert _run(path, PythonDocStringDocument, given) > 0
                found.append(path.parent.name)
    assert found
