"""Comparison of models: tests, intervals, moderated variances, posteriors, and plans.

All losses here are oriented: smaller is better.
"""

from optuna_robust._statistics.comparison import AdditiveFit
from optuna_robust._statistics.comparison import Alternative
from optuna_robust._statistics.comparison import bootstrap_interval
from optuna_robust._statistics.comparison import compare_pairs
from optuna_robust._statistics.comparison import compare_with_reference
from optuna_robust._statistics.comparison import Contest
from optuna_robust._statistics.comparison import criterion_posterior
from optuna_robust._statistics.comparison import CriterionPosterior
from optuna_robust._statistics.comparison import detectable_effect
from optuna_robust._statistics.comparison import encode_models
from optuna_robust._statistics.comparison import fit_additive
from optuna_robust._statistics.comparison import fit_informed_levels
from optuna_robust._statistics.comparison import fit_random_levels
from optuna_robust._statistics.comparison import get_test
from optuna_robust._statistics.comparison import holm
from optuna_robust._statistics.comparison import instances_to_reject
from optuna_robust._statistics.comparison import Interval
from optuna_robust._statistics.comparison import LevelPrediction
from optuna_robust._statistics.comparison import ModelEncoding
from optuna_robust._statistics.comparison import moderate_variances
from optuna_robust._statistics.comparison import ModeratedVariances
from optuna_robust._statistics.comparison import paired_criterion_test
from optuna_robust._statistics.comparison import PairedComparison
from optuna_robust._statistics.comparison import predict_levels
from optuna_robust._statistics.comparison import probability_of_best
from optuna_robust._statistics.comparison import RandomLevels
from optuna_robust._statistics.comparison import required_instances
from optuna_robust._statistics.comparison import smallest_p_value
from optuna_robust._statistics.comparison import std_lower_bound
from optuna_robust._statistics.comparison import TESTS
from optuna_robust._statistics.comparison import TwoSampleTest
from optuna_robust._statistics.comparison import updated_levels


__all__ = [
    "TESTS",
    "AdditiveFit",
    "Alternative",
    "Contest",
    "CriterionPosterior",
    "Interval",
    "LevelPrediction",
    "ModelEncoding",
    "ModeratedVariances",
    "PairedComparison",
    "RandomLevels",
    "TwoSampleTest",
    "bootstrap_interval",
    "compare_pairs",
    "compare_with_reference",
    "criterion_posterior",
    "detectable_effect",
    "encode_models",
    "fit_additive",
    "fit_informed_levels",
    "fit_random_levels",
    "get_test",
    "holm",
    "instances_to_reject",
    "moderate_variances",
    "paired_criterion_test",
    "predict_levels",
    "probability_of_best",
    "required_instances",
    "smallest_p_value",
    "std_lower_bound",
    "updated_levels",
]
