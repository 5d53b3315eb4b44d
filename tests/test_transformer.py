"""The transformer encoder with binary inner products."""

import pytest
import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.models import TransformerEncoder, build
from bnnkit.models.transformer import BinaryAttention, TokenNorm
from bnnkit.nn import BinaryLinear
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.steps.real import NumpyOperator
from bnnkit.verification.verify import verify

PRODUCTS = ("Conv", "Gemm", "MatMul", "BinaryConv2d", "BinaryConv2dThreshold", "BinaryMatMul")


def encoder() -> TransformerEncoder:
    torch.manual_seed(0)
    return TransformerEncoder(16, 6, depth=2, heads=2, noise="none")


def test_attention_is_that_of_its_definition() -> None:
    """Token by token and head by head, with probabilities of 0 and 1."""
    attention = next(m for m in encoder().modules() if isinstance(m, BinaryAttention)).eval()
    x = torch.randn(3, 6, 16)
    signs = torch.where(x >= 0, 1.0, -1.0)
    parts = (attention.query, attention.key, attention.value)
    query, key, value = (part(signs) for part in parts)
    seen: list[Tensor] = []
    attention.norm.register_forward_hook(lambda m, inputs, output: seen.append(*inputs))
    attention(x)
    for image in range(3):
        for head in range(2):
            part = slice(8 * head, 8 * head + 8)
            for token in range(6):
                scores = key[image, :, part] @ query[image, token, part] / 8**0.5
                attends = 6 * scores.softmax(0) >= 1
                want = value[image, attends][:, part].sum(0)
                assert torch.equal(seen[0][image, token, part], want)


def test_norm_of_tokens_is_over_images_and_tokens() -> None:
    norm, x = TokenNorm(4).train(), torch.randn(5, 3, 4)
    y = norm(x)
    assert torch.allclose(y.flatten(0, 1).mean(0), torch.zeros(4), atol=1e-6)
    assert torch.allclose(y.flatten(0, 1).var(0, correction=0), torch.ones(4), atol=1e-4)


def test_all_layers_are_binary_and_get_gradients() -> None:
    model = encoder()
    model(torch.randn(2, 6, 16)).square().sum().backward()
    layers = [m for m in model.modules() if hasattr(m, "in_features")]
    assert len(layers) == 2 * 6
    assert all(isinstance(layer, BinaryLinear) for layer in layers)
    assert all(p.grad is not None for p in model.parameters())


def test_tokens_and_images_are_inputs() -> None:
    options = {"n_classes": 3, "width": 8, "depth": 1, "heads": 2}
    tokens = build("transformer", input_shape=(5, 7), zero_point=None, **options)
    assert tokens(torch.randn(2, 5, 7)).shape == (2, 3)
    images = build("transformer", input_shape=(1, 8, 4), zero_point=(3,), patch=2, **options)
    assert images(torch.randint(0, 256, (2, 1, 8, 4), dtype=torch.uint8)).shape == (2, 3)


def test_first_signs_show_the_position_of_a_token() -> None:
    """Tokens that are alike have other signs at another position."""
    torch.manual_seed(0)
    options = {"n_classes": 3, "width": 32, "depth": 1, "heads": 2}
    shape = (4, 7)
    model = build("transformer", input_shape=shape, zero_point=None, noise="none", **options)
    seen: list[Tensor] = []
    attention = next(m for m in model.modules() if isinstance(m, BinaryAttention))
    attention.sign.register_forward_hook(lambda m, inputs, output: seen.append(output))
    model.eval()(torch.randn(20, 1, 7).expand(20, 4, 7))
    differs = (seen[0][:, 1:] != seen[0][:, :1]).float().mean()
    assert differs > 0.2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input_shape": (5, 7), "zero_point": (1,)}, "expected real-valued tokens"),
        ({"input_shape": (1, 9, 8), "zero_point": None}, "multiples of 4"),
        ({"input_shape": (5, 7), "zero_point": None, "heads": 3}, "divides the width"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build("transformer", n_classes=3, width=8, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_all_inner_products_are_packed_in_all_engines() -> None:
    model = TransformerEncoder(24, 10, depth=1, heads=3, noise="none")
    tokens = torch.randn(5, 10, 24)
    model(tokens)  # statistics of norms
    artifact = from_torch(model.eval(), tokens[:1])
    products = [node.op_type for node in artifact.model.graph.node if node.op_type in PRODUCTS]
    assert sorted(set(products)) == ["BinaryConv2d", "BinaryConv2dThreshold", "BinaryMatMul"]
    for comparison in verify(artifact, tokens.numpy(), network=model).comparisons:
        assert comparison.is_equal, comparison
    steps = Plan(artifact.graph).steps
    assert not [step for step in steps if type(step) is NumpyOperator]
