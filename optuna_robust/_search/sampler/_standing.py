"""Where the models of a search stand: what each is worth, and which may be the best."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arrays import FloatArray
from optuna_robust._search.sampler._models import Model
from optuna_robust._search.sampler._target import Target
from optuna_robust._statistics.comparison import Contest
from optuna_robust._statistics.comparison import criterion_posterior
from optuna_robust._statistics.comparison import CriterionPosterior
from optuna_robust._statistics.comparison import fit_encoding
from optuna_robust._statistics.comparison import fit_informed_levels
from optuna_robust._statistics.comparison import fit_random_levels
from optuna_robust._statistics.comparison import ModelEncoding
from optuna_robust._statistics.comparison import RandomLevels
from optuna_robust._statistics.comparison import tells_noise
from optuna_robust._statistics.comparison import updated_levels
from optuna_robust._statistics.criteria import rank_models


# All is fitted anew when the losses are so much more than at the last fit, and the kernel when
# they are so much more than at the last fit of that, which takes most of the time.
_GROWTH, _GROWTH_OF_KERNEL = 0.1, 0.5
# So many models may be the best, at most: those with the best values that they may have, a few
# standard deviations better than expected.
_HOPE, _MOST_HOPEFUL = 2.0, 64
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

    @cached_property
    def chances_of_best(self) -> FloatArray:
        """Every model's probability of being the best, shape ``(n_models,)``.

        That is by the first criterion. Infeasible models are the best only where none is feasible.
        All are 0 while nothing tells the noise.
        """
        chances = np.zeros(len(self.models))
        if self.posteriors:
            posterior = self.posteriors[0]
            eligible = self._least_violating(self._may_win)
            hope = posterior.mean[eligible] - _HOPE * np.nan_to_num(posterior.std[eligible])
            hopeful = np.sort(eligible[np.argsort(hope, kind="stable")[:_MOST_HOPEFUL]])
            chances[hopeful] = Contest(posterior.of(hopeful)).probabilities_of_best()
        return chances

    def chances_of_no_better(self, rng: np.random.Generator) -> FloatArray:
        """Return how often no model is better by all criteria, in a few draws of these.

        Shape ``(n_models,)``. Infeasible models count only where none is feasible.
        """
        chances = np.zeros(len(self.models))
        if not self.posteriors:
            return chances
        eligible = self._least_violating(self._may_win)
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

    def may_win(self) -> BoolArray:
        """Return which models may be complete in the end, shape ``(n_models,)``.

        Of models that are not given up, those that violate the constraints least.
        """
        may_win = np.array([model.may_go_on for model in self.models], dtype=bool)
        if may_win.any():
            may_win &= self._violation == self._violation[may_win].min()
        return may_win

    def _least_violating(self, among: BoolArray) -> npt.NDArray[np.intp]:
        return np.flatnonzero(among & (self._violation == self._violation[among].min()))

    @cached_property
    def _may_win(self) -> BoolArray:
        """Models that are not given up; all where none is left."""
        may_win = np.array([not model.stopped for model in self.models], dtype=bool)
        return may_win if may_win.any() else ~may_win

    @cached_property
    def _violation(self) -> FloatArray:
        return np.array([model.violation for model in self.models])


def standing(models: Iterable[Model], target: Target, *, informed: bool = True) -> Standing:
    """Return where those of the models stand that have a loss.

    Args:
        models:
            The models.
        target:
            What is looked for.
        informed:
            Whether levels are shrunk to what hyperparameters say.
    """
    keeper = StandingKeeper(target, informed=informed)
    keeper.update(models)
    return keeper.standing()


class StandingKeeper:
    """Where the models of a search stand, from training to training.

    All is fitted anew when the losses are a tenth more than at the last fit; which hyperparameters
    matter, when they are half more. In between, a model with another loss, or a new one, is judged
    by what the last fit says of all others.

    Args:
        target:
            What is looked for.
        informed:
            Whether levels are shrunk to what hyperparameters say.
    """

    def __init__(self, target: Target, *, informed: bool) -> None:
        self._target = target
        self._informed = informed
        self._models: list[Model] = []
        self._row: dict[int, int] = {}
        self._losses: FloatArray = np.empty((0, target.n_instances))
        self._n_instances: list[int] = []
        self._n_fitted, self._n_of_kernel = 0, 0
        self._fit: RandomLevels | None = None
        self._encoding: ModelEncoding | None = None
        self._posteriors: list[CriterionPosterior] = []

    def update(self, models: Iterable[Model]) -> list[int]:
        """Take what is known of models now, and judge them.

        Args:
            models:
                Those that have had more losses, at least.

        Returns:
            The positions of those that were judged anew: of all, if everything was fitted.
        """
        rows = self._read(models)
        if not rows:
            return []
        n_losses = int(np.count_nonzero(~np.isnan(self._losses)))
        if self._fit is None or n_losses >= self._n_fitted + max(1.0, _GROWTH * self._n_fitted):
            self._fit_all(n_losses)
            self._n_fitted = n_losses
            return list(range(len(self._models)))
        self._judge(self._fit, rows)
        return rows

    def standing(self) -> Standing:
        """Return where the models stand."""
        if self._posteriors:
            values = np.column_stack([each.mean for each in self._posteriors])
        else:
            n = np.maximum(np.count_nonzero(~np.isnan(self._losses), axis=1), 1)
            means = np.where(np.isnan(self._losses), 0.0, self._losses).sum(axis=1) / n
            values = np.repeat(means[:, None], len(self._target.criteria), axis=1)
        return Standing(
            tuple(self._models), self._target.n_instances, tuple(self._posteriors), values
        )

    def _read(self, models: Iterable[Model]) -> list[int]:
        """Return the rows of models that are new or have more instances."""
        changed = []
        for model in models:
            if not model.losses:
                continue
            row = self._row.setdefault(model.number, len(self._models))
            if row == len(self._models):
                self._models.append(model)
                self._n_instances.append(0)
            if self._n_instances[row] != model.n_instances:
                self._n_instances[row] = model.n_instances
                changed.append(row)
        n_new = len(self._models) - len(self._losses)
        self._losses = np.pad(self._losses, ((0, n_new), (0, 0)), constant_values=np.nan)
        for row in changed:
            for number, loss in self._models[row].losses.items():
                if number < self._target.n_instances:
                    self._losses[row, number] = loss
        return changed

    def _fit_all(self, n_losses: int) -> None:
        common = self._target.common_instances
        if not tells_noise(self._losses, common_instances=common):
            return
        if self._informed:
            self._fit = self._informed_fit(n_losses)
        else:
            self._fit = fit_random_levels(self._losses, common_instances=common)
        self._posteriors = self._completed(self._losses, self._fit)

    def _informed_fit(self, n_losses: int) -> RandomLevels:
        params = [model.latest.params for model in self._models]
        encoding = fit_encoding(params, [model.latest.distributions for model in self._models])
        kernel = None
        if (
            self._fit is not None
            and self._fit.prediction is not None
            and _layout(self._encoding) == _layout(encoding)
            and n_losses < (1.0 + _GROWTH_OF_KERNEL) * self._n_of_kernel
        ):
            kernel = self._fit.prediction.kernel
        else:
            self._n_of_kernel = n_losses
        self._encoding = encoding
        return fit_informed_levels(
            self._losses,
            encoding.encode(params),
            common_instances=self._target.common_instances,
            kernel=kernel,
        )

    def _judge(self, fit: RandomLevels, rows: list[int]) -> None:
        """Judge some models by an earlier fit."""
        n_fitted = len(fit.n)
        prediction = None
        if fit.prediction is not None and self._encoding is not None:
            later = [self._models[row].latest.params for row in rows if row >= n_fitted]
            prediction = fit.prediction.of(self._encoding.encode(later)) if later else None
        losses = self._losses[rows]
        judged = self._completed(losses, updated_levels(fit, losses, rows, prediction=prediction))
        self._posteriors = [
            _with_rows(each, rows, new, len(self._models))
            for each, new in zip(self._posteriors, judged, strict=True)
        ]

    def _completed(self, losses: FloatArray, fit: RandomLevels) -> list[CriterionPosterior]:
        return [
            criterion_posterior(losses, criterion, self._target.n_instances, fit=fit)
            for criterion in self._target.criteria
        ]


def _layout(encoding: ModelEncoding | None) -> list[object]:
    """Return what the features of an encoding are, whatever the ranges of numbers."""
    return [
        (column.name, column.is_log, column.width > 0.0, column.categories)
        for column in (encoding.columns if encoding is not None else ())
    ]


def _with_rows(
    posterior: CriterionPosterior, rows: list[int], new: CriterionPosterior, n_models: int
) -> CriterionPosterior:
    """Return a posterior of so many models, with some of them replaced."""
    arrays = []
    for old, values in zip(
        (posterior.weights, posterior.means, posterior.stds),
        (new.weights, new.means, new.stds),
        strict=True,
    ):
        array = np.pad(old, ((0, n_models - len(old)), (0, 0)))
        array[rows] = values
        arrays.append(array)
    return CriterionPosterior(*arrays)
