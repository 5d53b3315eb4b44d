"""Training: configurations, runs that can be continued, checkpoints, evaluation."""

from bnnkit.nn.recalibrate import recalibrate
from bnnkit.training.checkpoint import (
    Checkpoint,
    CheckpointMetadata,
    checkpoint_sha256,
    load_checkpoint,
    read_metadata,
)
from bnnkit.training.config import Config, load_config
from bnnkit.training.evaluate import evaluate
from bnnkit.training.recipe import Recipe, make_recipe
from bnnkit.training.run import Result, train

__all__ = [
    "Checkpoint",
    "CheckpointMetadata",
    "Config",
    "Recipe",
    "Result",
    "checkpoint_sha256",
    "evaluate",
    "load_checkpoint",
    "load_config",
    "make_recipe",
    "read_metadata",
    "recalibrate",
    "train",
]
