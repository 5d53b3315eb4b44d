"""Training: configurations, runs that can be continued, checkpoints, evaluation.

Most names below need torch, which is imported with the first of them. So the commands can check
their arguments, and read a configuration, before that: it takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnnkit.nn.recalibrate import recalibrate
    from bnnkit.training.checkpoint import (
        Checkpoint,
        CheckpointMetadata,
        checkpoint_sha256,
        load_checkpoint,
        read_metadata,
    )
    from bnnkit.training.config import Config, load_config
    from bnnkit.training.evaluation import evaluate
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

_MODULES = {
    "Checkpoint": "training.checkpoint",
    "CheckpointMetadata": "training.checkpoint",
    "Config": "training.config",
    "Recipe": "training.recipe",
    "Result": "training.run",
    "checkpoint_sha256": "training.checkpoint",
    "evaluate": "training.evaluation",
    "load_checkpoint": "training.checkpoint",
    "load_config": "training.config",
    "make_recipe": "training.recipe",
    "read_metadata": "training.checkpoint",
    "recalibrate": "nn.recalibrate",
    "train": "training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"bnnkit.{_MODULES[name]}"), name)
