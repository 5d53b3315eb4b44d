"""What torch users write around a binary layer: what the exporter writes, every engine runs.

Each network has a few snippets side by side, because torch's exporter takes most of the time.
"""

from itertools import batched
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from operator_snippets import LINE, MAP, SNIPPETS, VECTOR, Network, Snippet

import bnnkit.runtime as rt
from bnnkit.artifact.artifact import Artifact
from bnnkit.engines.ort import OnnxRuntime
from bnnkit.export import export_onnx, to_tflite

_TOLERANCE = 1e-4
