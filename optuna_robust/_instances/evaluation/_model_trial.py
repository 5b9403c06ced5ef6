"""A trial of a given model: suggests the model's values, in any process."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import check_distribution_compatibility
from optuna.exceptions import OptunaError
from optuna.trial import FixedTrial

from optuna_robust._instances.evaluation._study_view import InstanceStorage
from optuna_robust._instances.evaluation._study_view import StudyView
from optuna_robust._instances.evaluation._values import can_give
from optuna_robust._instances.evaluation._values import canonical_params
from optuna_robust._instances.evaluation._values import canonical_value
from optuna_robust._instances.evaluation._values import same_choices


_NO_STUDY = StudyView()


class ModelMismatchError(OptunaError, ValueError):
    """The objective asks for a hyperparameter that the model does not have, or not so."""


class ModelTrial(FixedTrial):
    """A trial of a given model, where there is no study's own: what is suggested is the model's.

    It behaves as the study's own trial does in workers, selections and confirmations. Suggesting
    raises :class:`ModelMismatchError` for a name that the model does not have, or a value outside
    the range that is asked for.

    Args:
        params:
            The model's hyperparameters.
        number:
            What the objective sees as the trial's number.
        study:
            What it sees as the study.
        user_attrs:
            What it sees as the trial's user attributes.
        distributions:
            What the values were suggested from, as far as it is known: the objective may ask for
            them again, although a value may lie outside (``study.enqueue_trial``).
        any_range:
            Give the model's values whatever range is asked for, as a study's trial does that has
            suggested them before.
    """

    def __init__(
        self,
        params: Mapping[str, Any],
        number: int = 0,
        study: StudyView = _NO_STUDY,
        user_attrs: Mapping[str, Any] = MappingProxyType({}),
        distributions: Mapping[str, BaseDistribution] = MappingProxyType({}),
        *,
        any_range: bool = False,
    ) -> None:
        super().__init__(canonical_params(params, distributions), number)
        self.study = study
        self.storage = InstanceStorage(study.links_artifacts)
        self._trial_id = number
        self._user_attrs = dict(user_attrs)
        self._known = dict(distributions)
        self._any_range = any_range

    @property
    def params(self) -> dict[str, Any]:
        """All hyperparameters of the model, suggested yet or not."""
        return dict(self._params)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._params:
            raise ModelMismatchError(
                f"The objective asks for the hyperparameter {name!r}, which the model "
                f"{self._params} does not have."
            )
        value = self._params[name]
        asked = self._distributions.get(name)
        if asked is not None and asked != distribution:
            _check_compatible(asked, distribution)
        if not (
            self._any_range
            or _is_same(self._known.get(name), distribution)
            or can_give(distribution, value)
        ):
            raise ModelMismatchError(
                f"The model's {name}={value!r} is not what the objective may be "
                f"given: {distribution}."
            )
        self._distributions[name] = distribution
        value = self._params[name] = canonical_value(distribution, value)
        self._suggested_params[name] = value
        return value


def _is_same(known: BaseDistribution | None, distribution: BaseDistribution) -> bool:
    """Return True if a hyperparameter was suggested from this before; choices by their JSON."""
    return known == distribution or (
        isinstance(distribution, CategoricalDistribution)
        and same_choices(known, distribution.choices)
    )


def _check_compatible(asked: BaseDistribution, distribution: BaseDistribution) -> None:
    """Check that a hyperparameter is asked for again in the same way; choices by their JSON."""
    if not _is_same(asked, distribution):
        check_distribution_compatibility(asked, distribution)
