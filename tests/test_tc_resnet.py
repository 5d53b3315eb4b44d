"""TC-ResNet, binary convolutions over time: its skips, its export, and its steps."""

import pytest
import torch
from against_reference import kinds
from torch import nn

from bnnkit.errors import UsageError
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.models import build
from bnnkit.models.tc_resnet import TemporalResidual
from bnnkit.nn import BinaryConv1d
from bnnkit.verification.verify import verify


def network(depth: int = 8, **options: object) -> nn.Module:
    torch.manual_seed(0)
    given = {"n_classes": 5, "zero_point": None, "width": 6, "depth": depth, **options}
    model = build("tc-resnet", input_shape=(4, 21), **given)  # type: ignore[arg-type]
    model((9 * torch.randn(8, 4, 21) + 128).round())  # so that batch norms know both signs
    return model.eval()


@pytest.mark.parametrize(("depth", "count"), [(8, 6), (14, 12)])
def test_each_convolution_has_a_skip_without_weights(depth: int, count: int) -> None:
    model = network(depth)
    convolutions = [m for m in model.modules() if isinstance(m, BinaryConv1d)]
    assert len(convolutions) == count
    assert [c.geometry.out_channels for c in convolutions[:: count // 3]] == [9, 12, 18]
    assert sum(isinstance(m, nn.Conv1d) for m in model.modules()) == 1
    for residual in (m for m in model.modules() if isinstance(m, TemporalResidual)):
        nn.init.zeros_(residual.norm.weight)
        nn.init.zeros_(residual.norm.bias)
    stem = model.get_submodule("features")[:3](x := torch.randn(2, 4, 21))  # type: ignore[index]
    for _ in range(3):
        stem = nn.functional.max_pool1d(stem, 2, ceil_mode=True)
    wanted = nn.functional.pad(stem.mean(2), (0, 12))
    found = model.get_submodule("features")(x)
    torch.testing.assert_close(found, wanted)


@pytest.mark.slow
def test_the_file_has_maps_and_the_runtime_no_numpy_but_for_the_input() -> None:
    artifact = from_torch(network(), torch.randn(1, 4, 21), mode="deterministic")
    found = [node.kind for node in artifact.graph.nodes]
    assert found.count("bnnkit.BinaryConv2d") == 6
    assert found.count("Unsqueeze") == 1
    assert "Squeeze" not in found
    assert kinds(artifact).count("NumpyOperator") == 1


@pytest.mark.slow
@pytest.mark.parametrize("depth", [8, 14])
def test_engines_agree(depth: int) -> None:
    model, x = network(depth), torch.randn(3, 4, 21)
    assert verify(from_torch(model, x[:1]), x.numpy(), network=model).is_equal


@pytest.mark.slow
def test_the_fewest_frames() -> None:
    torch.manual_seed(0)
    options = {"n_classes": 5, "zero_point": None, "width": 6}
    model = build("tc-resnet", input_shape=(4, 5), **options)  # type: ignore[arg-type]
    model(torch.randn(8, 4, 5))
    x = torch.randn(3, 4, 5)
    assert verify(from_torch(model.eval(), x[:1]), x.numpy(), network=model).is_equal


@pytest.mark.slow
def test_features_of_8_bits() -> None:
    model = network(zero_point=(1, 2, 3, 4))
    x = torch.randint(0, 256, (3, 4, 21), dtype=torch.uint8)
    assert verify(
        from_torch(model, x[:1], mode="deterministic"), x.numpy(), network=model
    ).is_equal


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input_shape": (1, 4, 21)}, r"sequences of shape \(C, T\), got inputs of shape \(1, 4"),
        ({"input_shape": (4, 4)}, "at least 5 frames, got 4"),
        ({"width": 5}, "an even width, got 5"),
        ({"depth": 9}, "a depth out of 8, 14, got 9"),
    ],
)
def test_wrong_sizes(options: dict[str, object], words: str) -> None:
    given = {"input_shape": (4, 21), "n_classes": 2, "zero_point": None, **options}
    with pytest.raises(UsageError, match=words):
        build("tc-resnet", **given)  # type: ignore[arg-type]
