"""Models of a selection as trials of a study, for plots and the dashboard."""

from __future__ import annotations

import math
from typing import Any
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import distribution_to_json
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.distributions import json_to_distribution
from optuna.storages import InMemoryStorage
from optuna.trial import create_trial
from optuna.trial import TrialState

from optuna_robust._instances import trials
from optuna_robust._instances.evaluation import can_give
from optuna_robust._instances.evaluation import canonical_params
from optuna_robust._instances.long_attributes import all_in_parts
from optuna_robust._instances.model_key import canonical_json
from optuna_robust._instances.model_key import model_key
from optuna_robust._instances.study_settings import keep_settings
from optuna_robust._instances.study_settings import Settings
from optuna_robust._search.selection._models import ModelSet


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._search.selection._race import Race
    from optuna_robust._search.selection._race import RaceOptions


class SelectionTrials:
    """Adds the models of a selection to a study when their fate is decided.

    Args:
        study:
            The study.
        settings:
            What the losses depend on, which the study keeps with the first model.
        models:
            The models.
        race:
            Knows what was trained.
        options:
            What the race goes by.
    """

    def __init__(
        self,
        study: Study,
        settings: Settings,
        models: ModelSet,
        race: Race,
        options: RaceOptions,
    ) -> None:
        self._study = study
        self._settings = settings
        self._models = models
        self._race = race
        self._criterion = options.criterion
        self._sign = options.sign
        self._has_settings = False
        self._elsewhere: dict[str, list[BaseDistribution]] = {}
        # Started again, a selection finds what it added before it was killed.
        added = [
            trial
            for trial in study.get_trials(deepcopy=False)
            if trial.state.is_finished() and trials.MODEL in trial.user_attrs
        ]
        self._there = {trial.user_attrs[trials.MODEL] for trial in added}
        self._complete = {
            (trial.user_attrs[trials.MODEL], trial.user_attrs.get(trials.N_INSTANCES))
            for trial in added
            if trial.state == TrialState.COMPLETE
        }

    def add(self, model: int, stopped: str | None) -> None:
        """Add a model.

        Args:
            model:
                Its index.
            stopped:
                Why it was removed; None for a survivor.
        """
        params = self._models.params[model]
        record = self._race.records[model]
        oriented = record.oriented(self._sign)
        running = {
            number: self._sign
            * float(self._criterion.score([oriented[i] for i in oriented if i <= number]))
            for number in oriented
        }
        reported = {number: value for number, value in running.items() if not math.isnan(value)}
        value = reported[max(reported)] if reported else None
        complete = stopped is None and value is not None
        key = model_key(params)
        # A survivor may have got further than in the selection before.
        known = (key, len(record.losses)) in self._complete if complete else key in self._there
        if known:
            return
        if not self._has_settings:
            keep_settings(self._study, self._settings)
            self._has_settings = True
        attrs = {
            trials.MODEL: key,
            **record.running_attrs(),
            **record.final_attrs(self._sign, math.nan if value is None else value),
        }
        if stopped is not None:
            attrs[trials.STOPPED] = stopped
        attrs = all_in_parts(attrs)
        distributions = self._distributions(model)
        # Optuna 4 has no such argument, and no way to set constraints either.
        named, computed = record.constraints.named, record.constraints.computed
        constraints: dict[str, Any] = {"constraints": named} if named else {}
        # Where samplers keep what they compute.
        kept = {"constraints": list(computed)} if computed else {}
        self._study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if complete else TrialState.PRUNED,
                value=value,
                params=canonical_params(params, distributions),
                distributions=distributions,
                intermediate_values=reported,
                user_attrs=attrs,
                system_attrs={**record.system_attrs, **kept},
                **constraints,
            )
        )

    def _distributions(self, model: int) -> dict[str, BaseDistribution]:
        """Return what the objective suggested from; else what suits the values that there are."""
        known = self._known(model)
        return {
            name: self._as_kept(self._that_gives(name, value, known.get(name)))
            for name, value in self._models.params[model].items()
        }

    def _that_gives(
        self, name: str, value: Any, known: BaseDistribution | None
    ) -> BaseDistribution:
        """Return the known distribution of a value, wider if the value was enqueued outside it."""
        if known is None:
            return self._suitable(name, value)
        if can_give(known, value):
            return known
        wider = _widened(known, value)
        return self._suitable(name, value) if wider is None else wider

    def _as_kept(self, distribution: BaseDistribution) -> BaseDistribution:
        """Return a distribution as the storage gives it back, where a tuple may be a list.

        Optuna compares it with what the storage gave back of other trials.
        """
        in_memory = isinstance(self._study._storage, InMemoryStorage)
        if in_memory or not isinstance(distribution, CategoricalDistribution):
            return distribution
        return json_to_distribution(distribution_to_json(distribution))

    def _known(self, model: int) -> dict[str, BaseDistribution]:
        return {
            **self._models.distributions[model],
            **self._race.records[model].distributions,
        }

    def _suitable(self, name: str, value: Any) -> BaseDistribution:
        """Return what other models' values were suggested from; else a choice of all values.

        A study wants the same kind of distribution in all its trials.
        """
        if name not in self._elsewhere:
            self._elsewhere[name] = self._of_all_models(name)
        return next(each for each in self._elsewhere[name] if can_give(each, value))

    def _of_all_models(self, name: str) -> list[BaseDistribution]:
        distributions: list[BaseDistribution] = []
        values: dict[str, Any] = {}
        for model, params in enumerate(self._models.params):
            known = self._known(model).get(name)
            if known is not None and known not in distributions:
                distributions.append(known)
            if name in params:
                values.setdefault(canonical_json({name: params[name]}), params[name])
        return [*distributions, CategoricalDistribution(tuple(values.values()))]


def _widened(distribution: BaseDistribution, value: Any) -> BaseDistribution | None:
    """Return a distribution of the same kind that can give a value, too; None: there is none."""
    if not isinstance(distribution, (FloatDistribution, IntDistribution)):
        return None
    low, high = min(distribution.low, value), max(distribution.high, value)
    try:  # without a step, on which the value may not lie
        wider = type(distribution)(low, high, log=distribution.log)
    except ValueError:  # a logarithm of zero
        return None
    return wider if can_give(wider, value) else None
