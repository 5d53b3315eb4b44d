"""Train a network of bnnkit.models with Lightning, and export its best checkpoint.

pip install lightning
python examples/lightning_digits.py [--data mnist --data-dir DIR] [--epochs N] [--out DIR]
"""

import argparse
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import bnnkit.nn as bnn
import bnnkit.runtime as rt
from bnnkit import data, models
from bnnkit.export import export_onnx

Batch = tuple[Tensor, Tensor]


class BinaryClassifier(lightning.LightningModule):
    """A convnet with binary weights and signs."""

    def __init__(self, input_shape: list[int], zero_point: list[int], lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lr = lr
        self.network = models.build(
            "convnet",
            input_shape=input_shape,
            n_classes=10,
            zero_point=zero_point,
            noise="none",
            estimator="approx-sign",
            weight_rule="binary-connect",
        )

    def training_step(self, batch: Batch, index: int) -> Tensor:
        images, labels = batch
        loss = nn.functional.cross_entropy(self.network(images), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        images, labels = batch
        right = self.network(images).argmax(1) == labels
        self.log("accuracy", right.float().mean(), prog_bar=True)

    def on_train_epoch_start(self) -> None:
        # Rules with a schedule, such as adaste, follow it.
        bnn.set_progress(self.network, self.current_epoch / (self.trainer.max_epochs or 1))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        bnn.attach_rules(self.network, optimizer)  # clips the latent weights after each step
        return optimizer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="digits", choices=["digits", "mnist"])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("lightning_digits"))
    chosen = parser.parse_args()

    lightning.seed_everything(0)
    found = data.load(chosen.data, chosen.data_dir)
    everything = TensorDataset(torch.from_numpy(found.x_train), torch.from_numpy(found.y_train))
    parts = torch.utils.data.random_split(everything, [5 / 6, 1 / 6])
    kept, held_out = (DataLoader(part, batch_size=64, shuffle=part is parts[0]) for part in parts)

    best = ModelCheckpoint(chosen.out, monitor="accuracy", mode="max")
    trainer = lightning.Trainer(
        max_epochs=chosen.epochs,
        accelerator="auto",
        callbacks=[best],
        logger=CSVLogger(chosen.out),  # writes metrics.csv; or TensorBoardLogger
        log_every_n_steps=10,
        deterministic=True,
    )
    shape, zero_point = list(found.x_train.shape[1:]), list(found.zero_point or [0])
    trainer.fit(BinaryClassifier(shape, zero_point), kept, held_out)

    trained = BinaryClassifier.load_from_checkpoint(best.best_model_path, map_location="cpu")
    path = chosen.out / "model.onnx"
    export_onnx(trained.network, everything[:1][0], path)
    right = rt.load(path).predict(found.x_test).argmax(1) == found.y_test
    print(f"{path}: {right.mean():.4f} of the test images")


if __name__ == "__main__":
    main()
