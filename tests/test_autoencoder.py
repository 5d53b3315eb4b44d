"""The autoencoder experiment: its loss, its products of gradients, its metrics."""

import gzip
from pathlib import Path

import pytest
import torch
from autoencoder_accuracy import AccuracyConfig, measure
from autoencoder_network import Autoencoder, EncoderProducts, logsumexp
from bits_estimators import EstimatorConfig, codes, losses_with_gradient, training_losses
from documents import DocumentsConfig, load_counts
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit import gradients
from bnnkit.errors import ConfigError, FileError

COUNTS = torch.randint(0, 9, (6, 12), generator=torch.Generator().manual_seed(1)).double()
FREQUENCIES = COUNTS / COUNTS.sum(1, keepdim=True)


def stack() -> Autoencoder:
    return Autoencoder(12, 7, 3, [0, 1]).double()


class Single(nn.Module):
    """Network 1 of the stack, in ordinary layers."""

    def __init__(self, network: Autoencoder) -> None:
        super().__init__()
        names = ("hidden", "logits", "decoder_hidden", "scores")
        self.layers = nn.ModuleList(_linear(network, name) for name in names)
        self.sign = bnn.Sign("logistic")

    def forward(self, counts: Tensor) -> Tensor:
        hidden, logits, decoder_hidden, scores = self.layers
        logit = logits(torch.relu(hidden(counts / counts.sum(1, keepdim=True))))
        bits = (self.sign(logit / 2) + 1) / 2
        log_f = scores(torch.relu(decoder_hidden(bits))).log_softmax(1)
        losses: Tensor = -(counts * log_f).sum(1)
        return losses

    def encoder(self) -> list[nn.Parameter]:
        return [parameter for layer in self.layers[:2] for parameter in layer.parameters()]


def _linear(network: Autoencoder, name: str) -> nn.Linear:
    layer = getattr(network, name)
    n_in, n_out = layer.weight.shape[1:]
    twin = nn.Linear(n_in, n_out, dtype=torch.float64)
    with torch.no_grad():
        twin.weight.copy_(layer.weight[1].T)
        twin.bias.copy_(layer.bias[1, 0])
    return twin


def test_the_loss_is_that_of_ordinary_layers() -> None:
    network = stack()
    single = Single(network).eval()
    logits = network.encode(FREQUENCIES)
    bits = codes(bnn.Sign("logistic").eval()(logits / 2))
    losses = network.loss_of(COUNTS)(bits)
    torch.testing.assert_close(losses[1], single(COUNTS))
    of_one = network.loss_of(COUNTS, slice(1, 2))(bits[1].expand(4, -1, -1))
    torch.testing.assert_close(of_one, losses[1].expand(4, -1))


def test_logsumexp() -> None:
    scores = 30 * torch.randn(2, 3, 9, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(logsumexp(scores), scores.logsumexp(2))
    (gradient,) = torch.autograd.grad(logsumexp(scores).sum(), scores)
    torch.testing.assert_close(gradient, scores.softmax(2))


def test_products_are_those_of_flat_gradients() -> None:
    network = stack()
    draws = torch.randn(2, 5, 6, 3, generator=torch.Generator().manual_seed(2)).double()
    logits = network.encode(FREQUENCIES, slice(1, 2))[0]
    parameters = [*network.hidden.parameters(), *network.logits.parameters()]

    def flat(gradient: Tensor) -> Tensor:
        found = torch.autograd.grad(logits, parameters, gradient, retain_graph=True)
        return torch.cat([part.flatten() for part in found])

    expected = [flat(g) @ flat(h) for g, h in zip(*draws, strict=True)]
    with torch.no_grad():
        products = EncoderProducts(network, 1, FREQUENCIES)(draws[0], draws[1])
    torch.testing.assert_close(products, torch.stack(expected))


ESTIMATORS = {
    "ARM": EstimatorConfig(name="arm"),
    "ST": EstimatorConfig(name="st"),
    "Gumbel(0.5)": EstimatorConfig(name="gumbel-softmax", options={"temperature": 0.5}),
    "local": EstimatorConfig(name="local-expectations"),
}


@pytest.mark.slow
def test_the_metrics_are_those_of_the_general_module() -> None:
    """As `bnnkit.gradients` measures the network in ordinary layers, within sampling errors."""
    network = stack()
    single = Single(network)
    objective = gradients.Objective(model=single, loss=single, parameters=single.encoder())
    truth = gradients.exact_gradient(objective, COUNTS)
    torch.manual_seed(0)
    config = AccuracyConfig(truth_samples=20000, trials=600, level=0.999)
    with_stack = measure(network, 1, COUNTS, 6, ESTIMATORS, config)
    for label, estimator in ESTIMATORS.items():
        expected = gradients.measure(
            objective,
            [COUNTS],
            [truth],
            estimator=_candidate(estimator),
            trials=60,
            level=0.999,
        )
        found = with_stack[label]
        for metric in ("cosine", "improvement", "rmse"):
            interval = getattr(expected, metric)
            overlap = interval.low < found[metric]["high"] and found[metric]["low"] < interval.high
            assert overlap, (label, metric)
        norm = expected.best_improvement
        assert found["best_improvement"] == pytest.approx(norm, rel=0.1)
        assert found["truth_rms_error"] < 0.06 * abs(norm)


def _candidate(estimator: EstimatorConfig) -> gradients.Candidate:
    if not estimator.options:
        return estimator.name
    return bnn.get_estimator(estimator.name, estimator.options)


@pytest.mark.parametrize("name", ["arm", "disarm", "reinforce", "local-expectations", "zgr"])
def test_the_decoder_gets_the_gradient_of_one_sample(name: str) -> None:
    logits = torch.randn(2, 6, 3, requires_grad=True, dtype=torch.float64)
    weight = torch.ones(3, requires_grad=True, dtype=torch.float64)
    losses = training_losses(EstimatorConfig(name=name), logits, lambda b: b @ weight)
    assert losses.shape == (2, 6)
    of_weight, of_logits = torch.autograd.grad(losses.sum(), (weight, logits))
    assert of_weight.sum() == losses.sum()  # of one code, as the loss is linear in weight
    assert of_logits.abs().sum() > 0


def test_st_and_identity_st_for_codes_of_0_and_1() -> None:
    logits = torch.linspace(-2, 2, 9, dtype=torch.float64).view(1, 1, 9).requires_grad_()
    for name in ("st", "identity-st"):
        losses = losses_with_gradient(EstimatorConfig(name=name), logits, lambda b: b.sum(2))
        (gradient,) = torch.autograd.grad(losses.sum(), logits)
        p = torch.sigmoid(logits)
        expected = p * (1 - p) if name == "st" else torch.ones_like(logits)
        torch.testing.assert_close(gradient, expected)


def test_counts_of_documents(tmp_path: Path) -> None:
    config = DocumentsConfig(dir=tmp_path, words=2)
    with pytest.raises(FileError, match=r"expected train\.data"):
        load_counts(config)
    (tmp_path / "train.data").write_text("1 2 3\n3 1 2\n3 4 9\n1 1 2\n")
    assert load_counts(config).tolist() == [[0, 2], [0, 0], [9, 2]]  # words 4 and 1
    (tmp_path / "train.data.gz").write_bytes(gzip.compress(b"1 1 x\n"))
    with pytest.raises(FileError, match="three integers"):
        load_counts(config)


def test_wrong_estimators_are_refused() -> None:
    from bits_estimators import check

    with pytest.raises(ConfigError, match=r"estimators\.X: expected an estimator out of"):
        check("X", EstimatorConfig(name="nonsense"))
