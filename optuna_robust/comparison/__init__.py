"""Comparison of models: two-sample tests and intervals.

All losses here are oriented: smaller is better.
"""

from optuna_robust.comparison._intervals import bootstrap_interval
from optuna_robust.comparison._intervals import Interval
from optuna_robust.comparison._intervals import std_lower_bound
from optuna_robust.comparison._reference import compare_with_reference
from optuna_robust.comparison._reference import instances_to_reject
from optuna_robust.comparison._reference import smallest_p_value
from optuna_robust.comparison._tests import Alternative
from optuna_robust.comparison._tests import get_test
from optuna_robust.comparison._tests import TESTS
from optuna_robust.comparison._tests import TwoSampleTest


__all__ = [
    "TESTS",
    "Alternative",
    "Interval",
    "TwoSampleTest",
    "bootstrap_interval",
    "compare_with_reference",
    "get_test",
    "instances_to_reject",
    "smallest_p_value",
    "std_lower_bound",
]
