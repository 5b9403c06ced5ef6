"""A turn of a robust search: the instances that one trial trains, and those that it takes over."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from typing import Any
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from optuna.trial import Trial

    from optuna_robust.evaluation import Outcome
    from optuna_robust.instance import Instance
    from optuna_robust.objective._trial_instances import Train
    from optuna_robust.sampler import Known
    from optuna_robust.sampler import RobustnessSampler


class SuggestedAgain(BaseException):  # like GeneratorExit, no error, and not caught
    """Ends an objective whose suggestions make up a known model.

    Attributes:
        known: That model.
    """

    def __init__(self, known: Known) -> None:
        self.known = known


def train_new(sampler: RobustnessSampler, trial: Trial, train: Train) -> Train:
    """Return how to train the first instances of a trial, if its model is a new one.

    Raises:
        SuggestedAgain: When called, if its model is a known one.
    """

    def train_if_new(
        instances: Sequence[Instance],
        is_known: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> list[Outcome]:
        return train(instances, partial(_is_known, sampler, trial, is_known))

    return train_if_new


def _is_known(
    sampler: RobustnessSampler,
    trial: Trial,
    is_known: Callable[[Mapping[str, Any]], bool] | None,
    params: Mapping[str, Any],
) -> bool:
    known = sampler.known(trial)
    if known is not None:
        raise SuggestedAgain(known)
    return is_known is not None and is_known(params)
