"""The robust search: a sampler whose trials are single trainings of new and of known models."""

from optuna_robust._search.sampler._recommend import recommend
from optuna_robust._search.sampler._recommend import Recommendation
from optuna_robust._search.sampler._sampler import Known
from optuna_robust._search.sampler._sampler import RobustnessSampler
from optuna_robust._search.sampler._target import Target


__all__ = [
    "Known",
    "Recommendation",
    "RobustnessSampler",
    "Target",
    "recommend",
]
