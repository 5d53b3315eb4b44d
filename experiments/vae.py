"""A variational autoencoder with binary latents: the factor 2 of straight-through estimators.

Figure 2 and appendix D.1 of Shekhovtsov & Yanush, GCPR 2021. The gradient of the reconstruction
through the latents is added to the exact gradient of the KL divergence; an estimator for signs
without its factor 2 halves the first, and the sum points too much towards the prior.

    python experiments/vae.py experiments/configs/vae.yaml --devices 3

A job is a learning rate; its stack has a network for each estimator and seed. Not stated in the
paper, so chosen here: batches of 100, the number of epochs, PyTorch's initial weights.
"""

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own abbreviation
from experiment import Experiment, Job, main
from experiment_config import Config, Record
from pydantic import Field
from stacked import Batches, StackedLinear, Trainer, generators, train
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit import data
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.estimators import StraightThrough
from bnnkit.plots import new_figure, save


class WithoutFactor(StraightThrough):
    """`st` without the factor 2: F'(a)."""

    name = "st-without-2"

    def jacobian(self, a: Tensor, noise: Noise) -> Tensor:
        return noise.pdf(a)


ESTIMATORS = {"ST": StraightThrough(), "ST without factor 2": WithoutFactor()}


class DataConfig(Config):
    """Images: a data set of bnnkit, and how many of its training images are used."""

    name: str = "mnist"
    dir: Path | None = None
    images: int = Field(default=50000, ge=1)


class VaeConfig(Config):
    """The data, the network and the training.

    Attributes:
        data: The images; their intensities are the probabilities to reconstruct.
        width: Hidden units of the layers of encoder and decoder.
        bits: Latents.
        lrs: Learning rates of Adam.
        seeds: For each, a network of each estimator.
        epochs: Passes over the images.
        batch_size: Images in a step.
        eval_every: Epochs between two evaluations of the loss over all images.
    """

    data: DataConfig = DataConfig()
    width: int = Field(default=200, ge=1)
    bits: int = Field(default=200, ge=1)
    lrs: tuple[float, ...] = (0.001, 0.0003, 0.0001)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    epochs: int = Field(default=300, ge=1)
    batch_size: int = Field(default=100, ge=1)
    eval_every: int = Field(default=10, ge=1)


class Vae(nn.Module):
    """A stack of encoders I-W-W-n and decoders n-W-W-I with tanh, for codes in {0, 1}.

    With the logit e of P(b = 1), the sign x = sign(e / 2 - z) with logistic noise, F(a) =
    sigmoid(2a), has P(x = +1) = sigmoid(e), and b = (x + 1) / 2.
    """

    def __init__(self, n_inputs: int, config: VaeConfig) -> None:
        super().__init__()
        width, bits = config.width, config.bits
        sizes = [n_inputs, width, width, bits, width, width, n_inputs]
        rngs = generators([seed for _ in ESTIMATORS for seed in config.seeds])
        self.layers = nn.ModuleList(
            StackedLinear(n_in, n_out, rngs) for n_in, n_out in pairwise(sizes)
        )
        self.signs = nn.ModuleList(bnn.Sign("logistic", e) for e in ESTIMATORS.values())

    def forward(self, images: Tensor) -> Tensor:
        """The negative lower bounds (M, N) of images (N, I)."""
        logits = self._three(self.layers[:3], images)
        bits = torch.cat(
            [
                (sign(part / 2) + 1) / 2
                for sign, part in zip(self.signs, logits.chunk(len(self.signs)), strict=True)
            ]
        )
        reconstructed = self._three(self.layers[3:], bits)
        # -t log p - (1 - t) log(1 - p), with p the sigmoid of the output.
        reconstruction = (F.softplus(reconstructed) - images * reconstructed).sum(2)
        return reconstruction + kl_from_uniform(logits).sum(2)

    @staticmethod
    def _three(layers: nn.ModuleList, x: Tensor) -> Tensor:
        first, second, third = layers
        output: Tensor = third(torch.tanh(second(torch.tanh(first(x)))))
        return output


def kl_from_uniform(logits: Tensor) -> Tensor:
    """KL(Bernoulli(sigmoid(e)) || Bernoulli(1/2)) = log 2 - entropy."""
    p = torch.sigmoid(logits)
    return 0.6931471805599453 + p * logits - F.softplus(logits)


def run(config: VaeConfig, job: Job) -> Record:
    images = _images(config.data).to(job.device)
    stack = Vae(images.shape[1], config).to(job.device)
    batches = Batches(len(images), config.batch_size, job.device)
    trainer = Trainer(
        stack, float(job.name.removeprefix("lr-")), lambda batch: stack(images[batch]), batches
    )
    record: Record = {"training": [], "epochs": [], "loss": []}

    def each_epoch(epoch: int, losses: Tensor) -> None:
        record["training"].append(_by_estimator(config, losses))
        if epoch % config.eval_every == 0 or epoch == config.epochs:
            record["epochs"].append(epoch)
            record["loss"].append(_by_estimator(config, _mean_loss(stack, images)))

    train(job, trainer, config.epochs, seed=config.seeds[0], record=record, each_epoch=each_epoch)
    return record


def _images(config: DataConfig) -> Tensor:
    dataset = data.load(config.name, config.dir)
    images = torch.from_numpy(dataset.x_train[: config.images]).flatten(1).float()
    return images / images.max()


def _mean_loss(stack: Vae, images: Tensor) -> Tensor:
    """The losses (M,) of the networks over all images, with one sample of the latents."""
    with torch.no_grad():
        starts = range(0, len(images), 2000)
        parts = [stack(images[start : start + 2000]).sum(1) for start in starts]
    return torch.stack(parts).sum(0) / len(images)


def _by_estimator(config: VaeConfig, losses: Tensor) -> dict[str, list[float]]:
    rows = losses.view(len(ESTIMATORS), len(config.seeds)).tolist()
    return dict(zip(ESTIMATORS, rows, strict=True))


def draw(result: Record, path: Path) -> None:
    jobs = result["jobs"]
    figure = new_figure(4.2 * len(jobs), 4, drawing="the losses of the VAE")
    for number, (name, record) in enumerate(jobs.items()):
        axes = figure.add_subplot(1, len(jobs), number + 1)
        for color, estimator in zip(("#2563eb", "#e8590c"), ESTIMATORS, strict=True):
            for seed in range(len(record["loss"][0][estimator])):
                ys = [losses[estimator][seed] for losses in record["loss"]]
                label = estimator if seed == 0 else None
                axes.plot(record["epochs"], ys, color=color, lw=1, label=label)
        axes.set_title(name.replace("lr-", "learning rate "), fontsize=10)
        axes.set_xlabel("epoch")
        axes.set_ylabel("negative ELBO, training images")
        axes.legend(frameon=False)
    save(figure, path)


EXPERIMENT = Experiment(
    "vae", VaeConfig, lambda config: [f"lr-{lr}" for lr in config.lrs], run, draw
)

if __name__ == "__main__":
    main(EXPERIMENT)
