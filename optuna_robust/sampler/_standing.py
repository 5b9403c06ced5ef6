"""Where the models of a search stand: what each is worth, and which may be the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optuna_robust.comparison import Contest
from optuna_robust.comparison import criterion_posterior
from optuna_robust.comparison import CriterionPosterior
from optuna_robust.comparison import tells_noise
from optuna_robust.criteria import FloatArray
from optuna_robust.criteria import rank_models
from optuna_robust.sampler._models import Model
from optuna_robust.sampler._target import Target


# Of the criteria, for a decision in a study of several objectives.
_N_DRAWS = 8

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Standing:
    """Where the models stand that have an instance.

    Attributes:
        models: The models, ``n_models`` of them.
        n_instances: How many instances a model shall have.
        posteriors: Of each criterion, over all instances; empty while nothing tells the noise.
        values: What each criterion is expected to be, to be minimised, shape
            ``(n_models, n_criteria)``; the mean of the losses while nothing tells the noise.
    """

    models: Sequence[Model]
    n_instances: int
    posteriors: Sequence[CriterionPosterior]
    values: FloatArray

    def n_missing(self) -> npt.NDArray[np.intp]:
        """Return how many instances every model lacks, shape ``(n_models,)``."""
        trained = np.array([model.n_instances for model in self.models], dtype=np.intp)
        return np.maximum(self.n_instances - trained, 0)

    def is_free(self) -> BoolArray:
        """Return which models another trial may train, shape ``(n_models,)``."""
        return np.array([model.is_free for model in self.models], dtype=bool)

    def chances_of_best(self) -> FloatArray:
        """Return every model's probability of being the best, shape ``(n_models,)``.

        That is by the first criterion. Infeasible models are the best only where none is feasible.
        All are 0 while nothing tells the noise.
        """
        chances = np.zeros(len(self.models))
        if self.posteriors:
            eligible = self._least_violating(np.ones(len(self.models), dtype=bool))
            contest = Contest(self.posteriors[0].of(eligible))
            chances[eligible] = contest.probabilities_of_best()
        return chances

    def chances_of_no_better(self, rng: np.random.Generator) -> FloatArray:
        """Return how often no model is better by all criteria, in a few draws of these.

        Shape ``(n_models,)``. Infeasible models count only where none is feasible.
        """
        chances = np.zeros(len(self.models))
        if not self.posteriors:
            return chances
        eligible = self._least_violating(np.ones(len(self.models), dtype=bool))
        for _ in range(_N_DRAWS):
            drawn = [
                each.mean[eligible]
                + np.nan_to_num(each.std[eligible]) * rng.standard_normal(len(eligible))
                for each in self.posteriors
            ]
            better = np.all([each[:, None] < each[None, :] for each in drawn], axis=0)
            chances[eligible] += ~better.any(axis=0) / _N_DRAWS
        return chances

    def best(self, among: BoolArray) -> Model:
        """Return the model that is expected to be the best by the first criterion.

        Args:
            among:
                Which models are asked about, at least one; shape ``(n_models,)``.
        """
        eligible = self._least_violating(among)
        return self.models[int(eligible[rank_models(self.values[eligible, 0])[0]])]

    def _least_violating(self, among: BoolArray) -> npt.NDArray[np.intp]:
        violation = np.array([model.violation for model in self.models])
        return np.flatnonzero(among & (violation == violation[among].min()))


def standing(models: Sequence[Model], target: Target) -> Standing:
    """Return where those of the models stand that have an instance."""
    known = [model for model in models if model.losses]
    matrix = np.full((len(known), target.n_instances), np.nan)
    for row, model in zip(matrix, known, strict=True):
        for number, loss in model.losses.items():
            if number < target.n_instances:
                row[number] = loss
    if not tells_noise(matrix, common_instances=target.common_instances):
        means = np.array([np.mean(list(model.losses.values())) for model in known])
        values = np.repeat(means[:, None], len(target.criteria), axis=1)
        return Standing(known, target.n_instances, [], values)
    posteriors = [
        criterion_posterior(
            matrix, criterion, target.n_instances, common_instances=target.common_instances
        )
        for criterion in target.criteria
    ]
    values = np.column_stack([each.mean for each in posteriors])
    return Standing(known, target.n_instances, posteriors, values)
