"""Layers of binarized networks: noises, signs, binary weights, and the exact first layer."""

from bnnkit.nn.base.noise import (
    Deterministic,
    Logistic,
    Noise,
    Scaled,
    Triangular,
    Uniform,
    get_noise,
    register_noise,
)
from bnnkit.nn.binarize import binarize_
from bnnkit.nn.binary_layers import BinaryConv1d, BinaryConv2d, BinaryConv3d, BinaryLinear
from bnnkit.nn.binary_weight import BinaryWeight
from bnnkit.nn.conv_bn_relu import real_layers
from bnnkit.nn.estimators import Estimator, get_estimator, register_estimator
from bnnkit.nn.integer_layers import IntegerConv2d, IntegerLinear
from bnnkit.nn.latent_weights import after_step, attach_rules, latent_parameters, set_progress
from bnnkit.nn.psa_chains import connect_psa
from bnnkit.nn.quantize import Quantize
from bnnkit.nn.sampling import sampling
from bnnkit.nn.sign import Sign, set_noise_scale
from bnnkit.nn.transposed_layers import BinaryConvTranspose1d, BinaryConvTranspose2d
from bnnkit.nn.weight_rules import WeightRule, get_weight_rule, register_weight_rule

__all__ = [
    "BinaryConv1d",
    "BinaryConv2d",
    "BinaryConv3d",
    "BinaryConvTranspose1d",
    "BinaryConvTranspose2d",
    "BinaryLinear",
    "BinaryWeight",
    "Deterministic",
    "Estimator",
    "IntegerConv2d",
    "IntegerLinear",
    "Logistic",
    "Noise",
    "Quantize",
    "Scaled",
    "Sign",
    "Triangular",
    "Uniform",
    "WeightRule",
    "after_step",
    "attach_rules",
    "binarize_",
    "connect_psa",
    "get_estimator",
    "get_noise",
    "get_weight_rule",
    "latent_parameters",
    "real_layers",
    "register_estimator",
    "register_noise",
    "register_weight_rule",
    "sampling",
    "set_noise_scale",
    "set_progress",
]
