"""Comparison of models: tests, intervals, moderated variances, confirmations, and plans.

All losses here are oriented: smaller is better.
"""

from optuna_robust._statistics.comparison._additive import AdditiveFit
from optuna_robust._statistics.comparison._additive import fit_additive
from optuna_robust._statistics.comparison._best import Contest
from optuna_robust._statistics.comparison._best_probability import probability_of_best
from optuna_robust._statistics.comparison._completion import completed_criterion
from optuna_robust._statistics.comparison._completion import criterion_posterior
from optuna_robust._statistics.comparison._completion import CriterionPosterior
from optuna_robust._statistics.comparison._confirmation import holm
from optuna_robust._statistics.comparison._confirmation import value_at
from optuna_robust._statistics.comparison._encoding import check_models
from optuna_robust._statistics.comparison._encoding import encode_models
from optuna_robust._statistics.comparison._encoding import fit_encoding
from optuna_robust._statistics.comparison._encoding import ModelEncoding
from optuna_robust._statistics.comparison._floors import instances_to_reject
from optuna_robust._statistics.comparison._floors import smallest_p_value
from optuna_robust._statistics.comparison._intervals import bootstrap_interval
from optuna_robust._statistics.comparison._intervals import Interval
from optuna_robust._statistics.comparison._intervals import is_tail
from optuna_robust._statistics.comparison._intervals import std_lower_bound
from optuna_robust._statistics.comparison._level_prior import LevelPrior
from optuna_robust._statistics.comparison._moderation import moderate_variances
from optuna_robust._statistics.comparison._moderation import ModeratedVariances
from optuna_robust._statistics.comparison._paired import compare_pairs
from optuna_robust._statistics.comparison._paired import paired_criterion_test
from optuna_robust._statistics.comparison._paired import PairedComparison
from optuna_robust._statistics.comparison._planning import detectable_effect
from optuna_robust._statistics.comparison._planning import required_instances
from optuna_robust._statistics.comparison._prediction import LevelKernel
from optuna_robust._statistics.comparison._prediction import LevelPrediction
from optuna_robust._statistics.comparison._prediction import predict_levels
from optuna_robust._statistics.comparison._random_levels import fit_informed_levels
from optuna_robust._statistics.comparison._random_levels import fit_random_levels
from optuna_robust._statistics.comparison._random_levels import RandomLevels
from optuna_robust._statistics.comparison._random_levels import tells_noise
from optuna_robust._statistics.comparison._reference import compare_with_reference
from optuna_robust._statistics.comparison._tests import Alternative
from optuna_robust._statistics.comparison._tests import get_test
from optuna_robust._statistics.comparison._tests import TESTS
from optuna_robust._statistics.comparison._tests import TwoSampleTest
from optuna_robust._statistics.comparison._updates import updated_levels


__all__ = [
    "TESTS",
    "AdditiveFit",
    "Alternative",
    "Contest",
    "CriterionPosterior",
    "Interval",
    "LevelKernel",
    "LevelPrediction",
    "LevelPrior",
    "ModelEncoding",
    "ModeratedVariances",
    "PairedComparison",
    "RandomLevels",
    "TwoSampleTest",
    "bootstrap_interval",
    "check_models",
    "compare_pairs",
    "compare_with_reference",
    "completed_criterion",
    "criterion_posterior",
    "detectable_effect",
    "encode_models",
    "fit_additive",
    "fit_encoding",
    "fit_informed_levels",
    "fit_random_levels",
    "get_test",
    "holm",
    "instances_to_reject",
    "is_tail",
    "moderate_variances",
    "paired_criterion_test",
    "predict_levels",
    "probability_of_best",
    "required_instances",
    "smallest_p_value",
    "std_lower_bound",
    "tells_noise",
    "updated_levels",
    "value_at",
]
