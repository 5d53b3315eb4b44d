"""Rules by which latent weights become binary ones, by name."""

from bnnkit.nn.weight_rules.binary_connect import BinaryConnect
from bnnkit.nn.weight_rules.mirror_descent import MirrorDescent
from bnnkit.nn.weight_rules.standardised import Standardised
from bnnkit.nn.weight_rules.weight_rule import (
    WEIGHT_RULES,
    WeightRule,
    get_weight_rule,
    register_weight_rule,
)

__all__ = [
    "WEIGHT_RULES",
    "BinaryConnect",
    "MirrorDescent",
    "Standardised",
    "WeightRule",
    "get_weight_rule",
    "register_weight_rule",
]
