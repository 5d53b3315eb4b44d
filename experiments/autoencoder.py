"""Autoencoders of documents with binary codes: training with each estimator, and its accuracy.

Figures 3 and D.1 of Shekhovtsov & Yanush, GCPR 2021. Networks are trained with each estimator and
then with ARM of ten samples; along the training with ARM all estimators are compared with the true
gradient of the encoder, which is the mean of 1000 samples of ARM.

    python experiments/autoencoder.py experiments/configs/autoencoder.yaml --devices 4

A job is a number of bits; its stack has a network for each estimator and seed. Not stated in the
paper, so chosen here: the size of batches, and that the true gradient is that of the same batch.
"""

import time
from collections.abc import Callable

import torch
from autoencoder_accuracy import AccuracyConfig, measure
from autoencoder_figure import draw
from autoencoder_network import Autoencoder
from bits_estimators import EstimatorConfig, check, codes, training_losses
from documents import DocumentsConfig, load_counts
from experiment import Experiment, Job, main
from experiment_config import Config, Record
from pydantic import Field
from stacked import Batches, Losses, Trainer, train
from torch import Tensor

import bnnkit.nn as bnn
from bnnkit.errors import ConfigError


class AutoencoderConfig(Config):
    """The documents, the networks, the estimators and the training.

    Attributes:
        data: The documents.
        width: Hidden units of encoder and decoder.
        bits: Numbers of bits, each a job.
        estimators: By label. The one called `trajectory` gives the points of measuring.
        trajectory: A label.
        correction: The estimator of the second phase.
        seeds: For each, a network of each estimator.
        lr: The learning rate of Adam, in both phases.
        epochs: Of the first phase.
        correction_epochs: Of the second.
        batch_size: Documents in a step.
        eval_every: Epochs between two evaluations of the loss over all documents.
        accuracy: What is measured.
    """

    data: DocumentsConfig = DocumentsConfig()
    width: int = Field(default=512, ge=1)
    bits: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512)
    estimators: dict[str, EstimatorConfig]
    trajectory: str = "ARM"
    correction: EstimatorConfig = EstimatorConfig(name="arm", options={"samples": 10})
    seeds: tuple[int, ...] = (0,)
    lr: float = Field(default=0.001, gt=0)
    epochs: int = Field(default=1000, ge=1)
    correction_epochs: int = Field(default=500, ge=0)
    batch_size: int = Field(default=256, ge=1)
    eval_every: int = Field(default=20, ge=1)
    accuracy: AccuracyConfig = AccuracyConfig()


class _Job:
    """One number of bits: the networks of all trained estimators and seeds, as one stack."""

    def __init__(self, config: AutoencoderConfig, job: Job) -> None:
        self.config, self.bits = config, int(job.name.removeprefix("bits-"))
        within = {k: e for k, e in config.estimators.items() if self.bits <= e.most_bits}
        self.measured = within
        self.trained = {label: e for label, e in within.items() if e.trained}
        if config.trajectory not in self.trained:
            raise ConfigError(
                f"trajectory: expected a trained estimator out of {', '.join(self.trained)}, got "
                f"{config.trajectory!r}"
            )
        for label, estimator in within.items():
            check(label, estimator)
        self.counts = load_counts(config.data).to(job.device)
        self.counts = self.counts[self.counts.sum(1) > 0]
        self.frequencies = self.counts / self.counts.sum(1, keepdim=True)
        seeds = [seed for _ in self.trained for seed in config.seeds]
        n_words = self.counts.shape[1]
        self.network = Autoencoder(n_words, config.width, self.bits, seeds).to(job.device)

    def losses(self, estimator_of: Callable[[str], EstimatorConfig]) -> Losses:
        """The losses (M, N) of a batch, each network with its own estimator."""

        def losses(batch: Tensor) -> Tensor:
            counts = self.counts[batch]
            logits = self.network.encode(self.frequencies[batch])
            parts = []
            for number, label in enumerate(self.trained):
                networks = self._networks(number)
                loss = self.network.loss_of(counts, networks)
                parts.append(training_losses(estimator_of(label), logits[networks], loss))
            return torch.cat(parts)

        return losses

    def _networks(self, number: int) -> slice:
        n_seeds = len(self.config.seeds)
        return slice(number * n_seeds, (number + 1) * n_seeds)

    def evaluate(self) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        """The mean losses of all documents, with one sample of the codes, and with z = 0."""
        sums = torch.zeros(2, len(self.trained) * len(self.config.seeds))
        with torch.no_grad():
            for number in range(0, len(self.counts), 512):
                part = slice(number, number + 512)
                logits = self.network.encode(self.frequencies[part])
                loss = self.network.loss_of(self.counts[part])
                for row, sign in enumerate((bnn.Sign("logistic"), bnn.Sign("logistic").eval())):
                    sums[row] += loss(codes(sign(logits / 2))).sum(1).cpu()
        drawn, deterministic = sums / len(self.counts)
        return self._by_label(drawn), self._by_label(deterministic)

    def _by_label(self, losses: Tensor) -> dict[str, list[float]]:
        rows = losses.view(len(self.trained), -1).tolist()
        return dict(zip(self.trained, rows, strict=True))

    def accuracies(self) -> list[dict[str, Record]]:
        """The accuracy of each estimator on the network of the trajectory, for each seed."""
        first = list(self.trained).index(self.config.trajectory) * len(self.config.seeds)
        return [
            measure(
                self.network,
                first + seed,
                self.counts,
                self.config.batch_size,
                self.measured,
                self.config.accuracy,
            )
            for seed in range(len(self.config.seeds))
        ]


def run(config: AutoencoderConfig, job: Job) -> Record:
    parts = _Job(config, job)
    batches = Batches(len(parts.counts), config.batch_size, job.device)
    own = parts.losses(lambda label: parts.trained[label])
    trainer = Trainer(parts.network, config.lr, own, batches)
    record: Record = {"epochs": [], "loss": [], "deterministic_loss": [], "points": []}

    def look(epoch: int) -> None:
        last = config.epochs + config.correction_epochs
        if epoch % config.eval_every == 0 or epoch in (config.epochs, last):
            drawn, deterministic = parts.evaluate()
            record["epochs"].append(epoch)
            record["loss"].append(drawn)
            record["deterministic_loss"].append(deterministic)
        if epoch <= config.epochs and epoch % config.accuracy.every == 0:
            start = time.monotonic()
            record["points"].append({"epoch": epoch, "accuracies": parts.accuracies()})
            seconds = time.monotonic() - start
            losses = _short(record["loss"][-1])
            job.say(f"epoch {epoch}, measured in {seconds:.1f} s, losses {losses}")

    if job.load() is None:
        look(0)
    train(
        job,
        trainer,
        config.epochs + config.correction_epochs,
        seed=config.seeds[0],
        record=record,
        each_epoch=lambda epoch, _: look(epoch),
        phases={config.epochs + 1: parts.losses(lambda label: config.correction)},
    )
    return record


def _short(losses: dict[str, list[float]]) -> str:
    return " ".join(f"{label} {values[0]:.1f}" for label, values in losses.items())


def jobs(config: AutoencoderConfig) -> list[str]:
    return [f"bits-{bits}" for bits in sorted(config.bits, reverse=True)]


EXPERIMENT = Experiment("autoencoder", AutoencoderConfig, jobs, run, draw)

if __name__ == "__main__":
    main(EXPERIMENT)
