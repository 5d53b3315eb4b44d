"""Networks are saved for the Hugging Face hub and loaded again, here in a folder."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("huggingface_hub")

import torch
from huggingface_hub import PyTorchModelHubMixin

from bnnkit.models import ConvNet


class HubConvNet(ConvNet, PyTorchModelHubMixin):
    """A network of the package, as a user makes one for the hub."""


def test_a_network_comes_back_from_its_folder(tmp_path: Path) -> None:
    network: Any = HubConvNet(
        [1, 8, 8], 10, [4], width=8, weight_rule="bop", estimator="approx-sign"
    )
    network.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {"config.json", "model.safetensors"}
    assert json.loads((tmp_path / "config.json").read_text())["weight_rule"] == "bop"
    again: Any = HubConvNet.from_pretrained(tmp_path)
    images = torch.randint(256, (3, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(again.eval()(images), network.eval()(images))
