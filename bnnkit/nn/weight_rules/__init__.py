"""Weight rules: how latent weights become binary weights; docs/estimators.md compares them."""

from bnnkit.nn.weight_rules.adaste import AdaSte
from bnnkit.nn.weight_rules.bayesbinn import BayesBiNN
from bnnkit.nn.weight_rules.binary_connect import BinaryConnect
from bnnkit.nn.weight_rules.bop import Bop
from bnnkit.nn.weight_rules.mean_field import (
    MirrorDescentSoftmax,
    MirrorDescentTanh,
    ProximalMeanField,
)
from bnnkit.nn.weight_rules.mirror_descent import MirrorDescent
from bnnkit.nn.weight_rules.projected_gradient import ProjectedGradient
from bnnkit.nn.weight_rules.proxquant import ProxQuant
from bnnkit.nn.weight_rules.recu import ReCu
from bnnkit.nn.weight_rules.scheduled import ScheduledRule
from bnnkit.nn.weight_rules.standardised import Standardised
from bnnkit.nn.weight_rules.variational_bayes import VariationalBayes
from bnnkit.nn.weight_rules.weight_rule import (
    WEIGHT_RULES,
    WeightRule,
    get_weight_rule,
    register_weight_rule,
)

__all__ = [
    "WEIGHT_RULES",
    "AdaSte",
    "BayesBiNN",
    "BinaryConnect",
    "Bop",
    "MirrorDescent",
    "MirrorDescentSoftmax",
    "MirrorDescentTanh",
    "ProjectedGradient",
    "ProxQuant",
    "ProximalMeanField",
    "ReCu",
    "ScheduledRule",
    "Standardised",
    "VariationalBayes",
    "WeightRule",
    "get_weight_rule",
    "register_weight_rule",
]
