"""Layers of binarized networks: noises, signs, binary weights, and the exact first layer."""

from bnnkit.nn.binarize import binarize_
from bnnkit.nn.binary_layers import BinaryConv2d, BinaryLinear
from bnnkit.nn.binary_weight import BinaryWeight
from bnnkit.nn.integer_layers import IntegerConv2d, IntegerLinear
from bnnkit.nn.noise import (
    Deterministic,
    Logistic,
    Noise,
    Triangular,
    Uniform,
    get_noise,
    register_noise,
)
from bnnkit.nn.sampling import sampling
from bnnkit.nn.sign import Sign

__all__ = [
    "BinaryConv2d",
    "BinaryLinear",
    "BinaryWeight",
    "Deterministic",
    "IntegerConv2d",
    "IntegerLinear",
    "Logistic",
    "Noise",
    "Sign",
    "Triangular",
    "Uniform",
    "binarize_",
    "get_noise",
    "register_noise",
    "sampling",
]
