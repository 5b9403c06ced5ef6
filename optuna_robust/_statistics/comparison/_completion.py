"""What a criterion will be when all instances are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
import math

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._additive import usable
from optuna_robust._statistics.comparison._imputation import Imputation
from optuna_robust._statistics.comparison._imputation import imputation
from optuna_robust._statistics.comparison._random_levels import fit_informed_levels
from optuna_robust._statistics.comparison._random_levels import fit_random_levels
from optuna_robust._statistics.comparison._random_levels import RandomLevels
from optuna_robust._statistics.comparison._updates import updated_levels
from optuna_robust._statistics.criteria import CRITERIA
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import identical


_FEWEST_DRAWS = 64
_MOST_DRAWS = 256
# Models that have the first instance only differ by its loss; the criterion is smooth in it.
_N_INTERPOLATED = 24
# Of models with hyperparameters that say something, so many may be the best.
_N_CONTENDERS = 256
# Two may be equal by chance, if losses are rounded.
_FEWEST_IDENTICAL = 3
# Noises between which a criterion of fresh instances is interpolated.
_N_NOISES = 24
# At a time, to bound the memory.
_MODELS_AT_A_TIME = 128


@dataclass(frozen=True)
class CriterionPosterior:
    """Distribution of every model's criterion over all its instances: a mixture of normals.

    Attributes:
        weights: Weights of the components, shape ``(n_models, n_components)``; they sum to 1.
        means: Means of the components, same shape; ``+inf`` where infinite losses make the
            criterion infinite.
        stds: Standard deviations of the components, same shape; 0 where nothing is missing.
    """

    weights: FloatArray
    means: FloatArray
    stds: FloatArray

    @property
    def mean(self) -> FloatArray:
        """Expected criterion of every model, shape ``(n_models,)``."""
        finite = np.isfinite(self.means)
        expected = (self.weights * np.where(finite, self.means, 0.0)).sum(axis=1)
        return np.where(finite.all(axis=1), expected, np.inf)

    @property
    def std(self) -> FloatArray:
        """Standard deviation of every model's criterion; NaN where it is infinite."""
        with np.errstate(invalid="ignore"):
            squares = self.stds**2 + (self.means - self.mean[:, None]) ** 2
        return np.asarray(np.sqrt((self.weights * squares).sum(axis=1)))

    def of(self, models: npt.NDArray[np.intp]) -> CriterionPosterior:
        """Return the distributions of some of the models."""
        return CriterionPosterior(self.weights[models], self.means[models], self.stds[models])

    def probability_below(self, value: float) -> FloatArray:
        """Return every model's probability that its criterion is not above a value."""
        from scipy import special  # noqa: PLC0415

        with np.errstate(divide="ignore", invalid="ignore"):
            z = (value - self.means) / self.stds
        certain = np.where(self.means <= value, 1.0, 0.0)
        below = np.where(self.stds > 0.0, special.ndtr(z), certain)
        return np.asarray(np.minimum((self.weights * below).sum(axis=1), 1.0))


def criterion_posterior(
    losses: npt.ArrayLike,
    criterion: Criterion,
    n_instances: int,
    *,
    common_instances: bool = True,
    models: Sequence[int] | None = None,
    features: npt.ArrayLike | None = None,
    fit: RandomLevels | None = None,
    fresh: bool = False,
) -> CriterionPosterior:
    """Return what every model's criterion will be when it has all its instances.

    Losses that are missing are imputed many times from what :func:`fit_random_levels` says of the
    model, and the criterion is that of the completed losses (multiple imputation, Rubin 1987,
    section 3.1): so every criterion is judged for the same number of instances, whichever it is,
    and one that is fully trained is known.

    A model's variance has a scaled inverse chi-squared distribution around its moderated value,
    and weighs more where it makes the model's losses likely: the best of many models is likely
    one with a large variance. For given variances all is normal, and a criterion is taken to be
    so. Noise that is not normal enters with the losses that were trained.

    ``fresh=True`` asks for the criterion of ``n_instances`` other ones, as a confirmation trains
    them. Over the trained ones, a fully trained model's criterion is known; but the best of many
    owes some of its value to luck that fresh instances do not repeat. Fresh criteria are uncertain
    for fully trained models too, and drawn to what other models and hyperparameters say. They have
    normal noise, whatever the losses looked like. A model that failed fails as often again.

    Args:
        losses:
            Losses to be minimised, shape ``(n_models, n)``; NaN = not trained. Infinite losses
            stay what they are; a model that has no other is judged by these.
        criterion:
            Of which statistic. A callable is called some hundred times for every model.
        n_instances:
            How many instances a model shall have; columns beyond are not looked at.
        common_instances:
            Whether instance j is the same for all models.
        models:
            Indices of the models that are asked about; default: all. What is told by the others
            counts in any case.
        features:
            Of the models' hyperparameters, shape ``(n_models, n_features)``
            (:func:`~optuna_robust.comparison.encode_models`): levels are shrunk to what they say
            (:func:`~optuna_robust.comparison.fit_informed_levels`). None: to one common level.
        fit:
            An earlier fit of these models, instead of a new one: of models that have more losses
            since then, and of those appended to them, which must not have been in it, levels and
            variances are computed with its effects and priors. Nothing but the models that are
            asked about is looked at. ``features`` are those of the models that were
            appended; the others' may be anything.
        fresh:
            Whether to ask for the criterion of other instances than those that were trained.

    Returns:
        The distributions, a row for every model that is asked about. One without any loss has
        that of a model that nobody knows. The draws are the same for all models and calls.

    Raises:
        ValueError: If the losses do not tell the noise (``tells_noise``), or shapes do not
            fit.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import criterion_posterior
        >>> from optuna_robust.criteria import get_criterion
        >>> losses = np.array([[0.1, 0.2], [0.2, 0.2], [0.4, np.nan], [0.5, np.nan]])
        >>> found = criterion_posterior(losses, get_criterion("mean"), 4)
        >>> found.mean.round(1), found.std.round(2)
        (array([0.2, 0.2, 0.4, 0.5]), array([0.15, 0.11, 0.14, 0.17]))
    """
    chosen = None if models is None else np.asarray(models, dtype=np.intp)
    given = np.asarray(losses, dtype=np.float64)[:, :n_instances]
    if fit is None:
        given = np.where(usable(given) | np.isnan(given), given, np.inf)
        if features is None:
            fit = fit_random_levels(given, common_instances=common_instances)
        else:
            fit = fit_informed_levels(given, features, common_instances=common_instances)
        if chosen is not None:
            given, fit = given[chosen], fit.of(chosen)
        return completed_criterion(fit, given, criterion, n_instances, fresh=fresh)
    if chosen is None:
        chosen = np.arange(len(given))
    prediction = None
    later = chosen[chosen >= len(fit.means)]
    if features is not None and fit.prediction is not None and len(later):
        prediction = fit.prediction.of(np.asarray(features, dtype=np.float64)[later])
    fit = updated_levels(fit, given[chosen], chosen, prediction=prediction)
    return completed_criterion(fit, given[chosen], criterion, n_instances, fresh=fresh)


def completed_criterion(
    levels: RandomLevels,
    losses: npt.ArrayLike,
    criterion: Criterion,
    n_instances: int,
    *,
    fresh: bool = False,
) -> CriterionPosterior:
    """Return what the criterion of models will be, from their fitted levels.

    Args:
        levels:
            Of these models, as :func:`~optuna_robust.comparison.fit_random_levels` or
            :func:`~optuna_robust.comparison.updated_levels` return them.
        losses:
            Of these models, shape ``(n_models, n)``.
        criterion:
            As for :func:`criterion_posterior`.
        n_instances:
            As for :func:`criterion_posterior`.
        fresh:
            As for :func:`criterion_posterior`.

    Raises:
        ValueError: If there are not as many models as levels.

    Example:
        >>> import numpy as np
        >>> from optuna_robust._statistics.comparison import completed_criterion
        >>> from optuna_robust.comparison import fit_random_levels
        >>> from optuna_robust.criteria import get_criterion
        >>> losses = np.array([[0.1, 0.2], [0.2, 0.2], [0.4, np.nan], [0.5, np.nan]])
        >>> fit = fit_random_levels(losses)
        >>> completed_criterion(fit, losses, get_criterion("mean"), 2, fresh=True).mean.round(2)
        array([0.18, 0.22, 0.38, 0.45])
    """
    given = np.asarray(losses, dtype=np.float64)[:, :n_instances]
    if len(given) != len(levels.means):
        raise ValueError(
            f"losses must be those of {len(levels.means)} models, but were of {len(given)}."
        )
    given = np.where(usable(given) | np.isnan(given), given, np.inf)
    matrix = np.full((len(given), n_instances), np.nan)
    matrix[:, : given.shape[1]] = given
    if fresh:
        matrix = np.where(np.isinf(matrix), matrix, np.nan)
    imputed = imputation(levels, n_instances, fresh=fresh)
    if criterion == CRITERIA["mean"]:
        means, stds = _mean_completed(matrix, imputed)
    elif fresh and CRITERIA.get(criterion.name) == criterion and not np.isinf(matrix).any():
        means, stds = _fresh(imputed, criterion, n_instances)
    else:
        is_informed = levels.prior.weights.shape[1] > 1
        means, stds = _all_completed(matrix, imputed, criterion, is_informed=is_informed)
    return CriterionPosterior(imputed.weights, means, stds)


def _fresh(
    imputed: Imputation, criterion: Criterion, n_instances: int
) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of a criterion of losses that are all imputed.

    The named criteria move with the level, or do not depend on it: what is left depends on the
    noise alone, smoothly.
    """
    noise = np.log(imputed.noise_stds)
    grid = np.linspace(float(noise.min()), float(noise.max()), _N_NOISES)
    rows = np.exp(grid)[:, None, None] * _draws(n_instances + 1)[:, 1:] + imputed.effects
    values = criterion(rows.reshape(-1, n_instances)).reshape(len(grid), -1)
    means = np.interp(noise, grid, values.mean(axis=1))
    variances = np.interp(noise, grid, values.std(axis=1)) ** 2
    if criterion.kind == "spread":
        return means, np.sqrt(variances)
    return imputed.levels + means, np.sqrt(imputed.level_stds**2 + variances)


def _all_completed(
    matrix: FloatArray, imputed: Imputation, criterion: Criterion, *, is_informed: bool
) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of the criterion at every node, some interpolated."""
    means, stds = np.empty(imputed.weights.shape), np.empty(imputed.weights.shape)
    alike = _have_only_the_first(matrix)
    if is_informed:
        key = imputed.expected_levels()
        picked = _contenders(key, alike)
    else:
        key = matrix[:, 0]
        picked = _evenly_spread(key, alike, _N_INTERPOLATED)
    own = np.concatenate([np.nonzero(~alike)[0], picked])
    for part in np.array_split(own, math.ceil(len(own) / _MODELS_AT_A_TIME) or 1):
        means[part], stds[part] = _completed(matrix[part], imputed.of(part), criterion)
    rest = np.setdiff1d(np.nonzero(alike)[0], picked)
    picked = picked[np.argsort(key[picked], kind="stable")]
    for values in (means, stds) if len(rest) else ():
        for node in range(imputed.weights.shape[1]):
            values[rest, node] = np.interp(key[rest], key[picked], values[picked, node])
    return means, stds


def _have_only_the_first(matrix: FloatArray) -> npt.NDArray[np.bool_]:
    return np.isfinite(matrix[:, 0]) & np.isnan(matrix[:, 1:]).all(axis=1)


def _evenly_spread(
    values: FloatArray, chosen: npt.NDArray[np.bool_], n: int
) -> npt.NDArray[np.intp]:
    """Return some of the chosen models, evenly spread over their ranks."""
    ranked = np.nonzero(chosen)[0]
    ranked = ranked[np.argsort(values[ranked], kind="stable")]
    positions = np.linspace(0, len(ranked) - 1, min(len(ranked), n))
    return np.asarray(ranked[positions.astype(np.intp)])


def _contenders(levels: FloatArray, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return the best of the chosen models, and some of the others."""
    ranked = np.nonzero(chosen)[0]
    if len(ranked) <= _N_CONTENDERS + _N_INTERPOLATED:
        return ranked
    ranked = ranked[np.argsort(levels[ranked], kind="stable")]
    others = np.zeros(len(levels), dtype=bool)
    others[ranked[_N_CONTENDERS:]] = True
    return np.concatenate(
        [ranked[:_N_CONTENDERS], _evenly_spread(levels, others, _N_INTERPOLATED)]
    )


def _mean_completed(matrix: FloatArray, imputed: Imputation) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of the mean of completed losses: all is normal."""
    n_instances = matrix.shape[1]
    missing = np.isnan(matrix)
    n_missing = np.count_nonzero(missing, axis=1)[:, None]
    fails = np.isinf(matrix).any(axis=1)
    known = np.where(missing | np.isinf(matrix), 0.0, matrix).sum(axis=1)[:, None]
    effects = (missing * imputed.effects).sum(axis=1)[:, None]
    means = (known + effects + n_missing * imputed.levels) / n_instances
    variances = (
        (n_missing * imputed.level_stds) ** 2
        + n_missing * imputed.noise_stds**2
        + (missing * imputed.effects_variance).sum(axis=1)[:, None]
    )
    stds = np.sqrt(variances) / n_instances
    means[fails], stds[fails] = np.inf, 0.0
    return means, stds


def _completed(
    matrix: FloatArray, imputed: Imputation, criterion: Criterion
) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of the criterion at every node."""
    n_models, n_instances = matrix.shape
    n_nodes = imputed.weights.shape[1]
    missing = np.isnan(matrix)
    means = np.empty((n_models, n_nodes))
    stds = np.zeros((n_models, n_nodes))
    hopeless = ~np.isfinite(matrix).any(axis=1) & ~missing.all(axis=1)
    if hopeless.any():
        means[hopeless] = criterion(matrix[hopeless])[:, None]
    done = ~missing.any(axis=1) & ~hopeless
    if done.any():
        means[done] = criterion.score(matrix[done])[:, None]
    open_ = np.nonzero(~done & ~hopeless)[0]
    draws = _draws(n_instances + 1)
    for node in range(n_nodes):
        means[open_, node] = imputed.levels[open_, node]  # counts nothing without a weight
        part = open_[imputed.weights[open_, node] > 0.0]
        if not len(part):
            continue
        noise = np.sqrt(imputed.noise_stds[part, node, None] ** 2 + imputed.effects_variance)
        levels = (
            imputed.levels[part, node, None] + imputed.level_stds[part, node, None] * draws[:, 0]
        )
        rows = levels[:, :, None] + imputed.effects + noise[:, None, :] * draws[:, 1:]
        rows = np.where(missing[part, None, :], rows, matrix[part, None, :])
        values = criterion(rows.reshape(-1, n_instances)).reshape(len(part), -1)
        with np.errstate(invalid="ignore"):
            means[part, node] = values.mean(axis=1)
            stds[part, node] = values.std(axis=1)
    if criterion.kind == "spread":  # a seed that is fixed is no stability
        n_known = n_instances - np.count_nonzero(missing, axis=1)
        means[identical(matrix) & (n_known >= _FEWEST_IDENTICAL)] = np.inf
    means[np.isnan(means)] = np.inf
    stds[~np.isfinite(means)] = 0.0
    return means, stds


@lru_cache(maxsize=8)
def _draws(n_columns: int) -> FloatArray:
    """Return normal draws, shape ``(n_draws, n_columns)``, with mean 0 and identity covariance.

    A Latin hypercube (McKay, Beckman & Conover 1979), made to have the moments exactly if there
    are more draws than columns, so that mean and standard deviation of linear criteria are exact.
    """
    from scipy import special  # noqa: PLC0415

    n_draws = min(max(_FEWEST_DRAWS, 2 ** (2 * n_columns).bit_length()), _MOST_DRAWS)
    strata = np.tile((np.arange(n_draws) + 0.5) / n_draws, (n_columns, 1))
    draws = special.ndtri(np.random.default_rng(0).permuted(strata, axis=1)).T
    if n_columns < n_draws:
        factor = np.linalg.cholesky(draws.T @ draws / n_draws)
        return np.asarray(np.linalg.solve(factor, draws.T).T)
    return np.asarray(draws / draws.std(axis=0))
