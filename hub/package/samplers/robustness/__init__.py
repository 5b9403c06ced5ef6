"""The sampler of optuna_robust, and the wrapper and callback that it works with."""

from optuna_robust import MaxInstancesCallback
from optuna_robust import MultiInstanceObjective
from optuna_robust import recommend
from optuna_robust import RobustnessSampler


__all__ = ["MaxInstancesCallback", "MultiInstanceObjective", "RobustnessSampler", "recommend"]
