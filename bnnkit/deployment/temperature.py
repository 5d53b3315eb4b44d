"""The temperature of a deployed network: its logits divided by T, for calibrated confidence.

A network that is trained to the end is more certain of its training images than it should be of
new ones. Division of the logits by T > 1 mends that, and changes no class of a single pass. The
division is part of the last layer's weights, so the file has no more operators than before.

References:
    C. Guo et al., On calibration of modern neural networks, ICML 2017, section 4.2.
"""

from copy import deepcopy
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.sample import Sample
from bnnkit.deployment.samples import SAMPLES
from bnnkit.errors import UsageError
from bnnkit.nn.base import arguments
from bnnkit.nn.evaluating import evaluating
from bnnkit.runtime import Model

KEY: Final = "temperature"
"""The key in the metadata, without the prefix."""
_BATCH: Final = 250
_MOST_STEPS: Final = 100
_LEAST: Final = 0.05
"""The least temperature that a fit may give; below it the examples only ask for less and less."""


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[Any]) -> float:
    """Return the T whose softmax(logits / T) gives labels the least negative log likelihood.

    Args:
        logits: (M, N, K), of M samples of N images that the network was not trained on; the
            likelihood is that of the mean of the samples' probabilities.
        labels: (N,), integers.

    Raises:
        UsageError: If no T fits best, because every label, or nearly, has the largest logit.
    """
    refusal = UsageError(
        "expected held-out examples with some errors to fit a temperature, got "
        f"{len(labels)} without an error, or nearly; give a number"
    )
    if (logits.argmax(2) == labels).all():
        raise refusal
    scores, classes = torch.from_numpy(logits).double(), torch.from_numpy(labels).long()
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=_MOST_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        of_samples = (scores / log_t.exp()).log_softmax(2)
        mean = of_samples.logsumexp(0)  # less log M, a constant
        value = nn.functional.nll_loss(mean, classes)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    temperature = float(log_t.detach().exp())
    if not temperature >= _LEAST:  # or NaN
        raise refusal
    return temperature


def held_out_logits(artifact: Artifact, images: NDArray[Any], seed: int) -> NDArray[np.float32]:
    """Return the logits (M, N, K) of the pass without noise (M = 1), or of `SAMPLES` samples.

    Raises:
        UsageError: If the output of the network is not scores of classes.
    """
    check_scores(*artifact.output_kinds)
    model = Model(artifact)
    indices = range(SAMPLES) if artifact.is_stochastic else [None]
    passes = [
        [_scores(model, images[start : start + _BATCH], seed, index, start) for index in indices]
        for start in range(0, len(images), _BATCH)
    ]
    return np.concatenate([np.stack(batch) for batch in passes], axis=1)


def check_scores(*outputs: str) -> None:
    """Check that a network has one output, which holds scores of classes.

    Args:
        outputs: What each output holds, as in `bnnkit.artifact.output_kinds`.

    Raises:
        UsageError: If it has others.
    """
    if outputs != ("scores",):
        raise UsageError(
            "a temperature is for scores of classes, but the output holds "
            f"{', '.join(outputs)}: leave it out"
        )


def _scores(
    model: Model, images: NDArray[Any], seed: int, index: int | None, start: int
) -> NDArray[Any]:
    if index is None:
        found = model.run(images)
    else:
        found = model.run_sample(images, Sample(seed=seed, index=index, image_offset=start))
    assert not isinstance(found, tuple)  # one output
    return found


def divide_logits(network: nn.Module, example: Tensor, temperature: float) -> None:
    """Divide the weights and the bias of the last layer by a temperature, in place.

    Args:
        network: A network whose output is that of a linear layer, called once.
        example: An input, (1, ...).
        temperature: T, above 0.

    Raises:
        UsageError: If the temperature is not above 0, or the output is not that of a linear layer.
    """
    if arguments.real("a temperature", temperature) <= 0:
        raise UsageError(f"expected a temperature above 0, got {temperature!r}")
    layer = last_linear(network, example)
    with torch.no_grad():
        layer.weight.div_(temperature)
        if layer.bias is not None:
            layer.bias.div_(temperature)


def with_temperature_of(
    network: nn.Module, artifact: Artifact, example: NDArray[Any]
) -> nn.Module:
    """Return a copy with the artifact's temperature, or the network itself if it has none.

    Args:
        network: The network that the artifact was exported from.
        artifact: The artifact; its metadata name the temperature.
        example: An input of the network, (1, ...).

    Raises:
        UsageError: If the temperature in the metadata is damaged, or not one of this network.
    """
    text = artifact.metadata.get(KEY)
    if text is None:
        return network
    try:
        temperature = float(text)
    except ValueError as error:
        raise UsageError(
            f"the temperature in the model's metadata is damaged: expected a number, got {text!r};"
            " export it again"
        ) from error
    copy = deepcopy(network)
    divide_logits(copy, torch.from_numpy(example), temperature)
    return copy


def last_linear(network: nn.Module, example: Tensor) -> nn.Linear:
    """Return the linear layer whose output is the network's.

    Raises:
        UsageError: If there is none, or it is called twice.
    """
    calls: list[tuple[nn.Linear, Tensor]] = []
    handles: list[RemovableHandle] = [
        layer.register_forward_hook(lambda layer, _, output: calls.append((layer, output)))
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        with evaluating(network):
            output = network(example)
    finally:
        for handle in handles:
            handle.remove()
    last = [layer for layer, result in calls if result is output]
    if not last or sum(layer is last[0] for layer, _ in calls) > 1:
        raise UsageError(
            "expected a network whose output is that of a linear layer, called once, to divide by "
            "a temperature; export it without one"
        )
    return last[0]
