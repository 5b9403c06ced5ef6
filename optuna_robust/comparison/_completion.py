"""What a criterion will be when all instances are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
import math

import numpy as np
import numpy.typing as npt

from optuna_robust.comparison._additive import usable
from optuna_robust.comparison._random_levels import fit_random_levels
from optuna_robust.comparison._random_levels import RandomLevels
from optuna_robust.criteria import Criterion
from optuna_robust.criteria import FloatArray
from optuna_robust.criteria import identical


# Of the distribution of a model's variance (Gauss-Hermite).
_N_NODES = 5
_FEWEST_DRAWS = 64
_MOST_DRAWS = 256
# Models that have the first instance only differ by its loss; the criterion is smooth in it.
_N_INTERPOLATED = 24
# Two may be equal by chance, if losses are rounded.
_FEWEST_IDENTICAL = 3
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

    Returns:
        The distributions, a row for every model that is asked about. One without any loss has
        that of a model that nobody knows. The draws are the same for all models and calls.

    Raises:
        ValueError: If the losses do not tell the noise (:func:`tells_noise`).

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import criterion_posterior
        >>> from optuna_robust.criteria import get_criterion
        >>> losses = np.array([[0.1, 0.2], [0.2, 0.2], [0.4, np.nan], [0.5, np.nan]])
        >>> found = criterion_posterior(losses, get_criterion("mean"), 4)
        >>> found.mean.round(1), found.std.round(2)
        (array([0.2, 0.2, 0.4, 0.5]), array([0.15, 0.11, 0.14, 0.17]))
    """
    given = np.asarray(losses, dtype=np.float64)[:, :n_instances]
    given = np.where(usable(given) | np.isnan(given), given, np.inf)
    matrix = np.full((len(given), n_instances), np.nan)
    matrix[:, : given.shape[1]] = given
    fit = fit_random_levels(given, common_instances=common_instances)
    imputed = _imputation(fit, n_instances)
    if models is not None:
        chosen = np.asarray(models, dtype=np.intp)
        matrix, imputed = matrix[chosen], imputed.of(chosen)
    means = np.empty((len(matrix), _N_NODES))
    stds = np.empty((len(matrix), _N_NODES))
    alike = _have_only_the_first(matrix)
    picked = _evenly_spread(matrix[:, 0], alike)
    own = np.concatenate([np.nonzero(~alike)[0], picked])
    for part in np.array_split(own, math.ceil(len(own) / _MODELS_AT_A_TIME) or 1):
        means[part], stds[part] = _completed(matrix[part], imputed.of(part), criterion)
    rest = np.setdiff1d(np.nonzero(alike)[0], picked)
    for values in (means, stds) if len(rest) else ():
        for node in range(_N_NODES):
            values[rest, node] = np.interp(
                matrix[rest, 0], matrix[picked, 0], values[picked, node]
            )
    return CriterionPosterior(imputed.weights, means, stds)


@dataclass(frozen=True)
class _Imputation:
    """What missing losses are drawn from: for every model a mixture over its variance.

    ``weights``, ``levels``, ``level_stds`` and ``noise_stds`` have the shape ``(n_models,
    n_nodes)``; ``effects`` and the variance of their errors ``(n_instances,)``.
    """

    weights: FloatArray
    levels: FloatArray
    level_stds: FloatArray
    noise_stds: FloatArray
    effects: FloatArray
    effects_variance: FloatArray

    def of(self, models: npt.NDArray[np.intp]) -> _Imputation:
        return _Imputation(
            self.weights[models],
            self.levels[models],
            self.level_stds[models],
            self.noise_stds[models],
            self.effects,
            self.effects_variance,
        )


def _imputation(fit: RandomLevels, n_instances: int) -> _Imputation:
    from scipy import special  # noqa: PLC0415

    nodes, node_weights = np.polynomial.hermite_e.hermegauss(_N_NODES)
    df = np.maximum(fit.df, 1.0)[:, None]
    chi2 = 2.0 * special.gammaincinv(df / 2.0, special.ndtr(nodes))
    noise = np.maximum(fit.variances[:, None] * df / chi2, 1e-300)
    error = noise / np.maximum(fit.n, 1)[:, None]
    total = fit.level_variance + error
    known = (fit.n > 0)[:, None]
    share = np.where(known, fit.level_variance / total, 0.0)
    gap = np.where(known, fit.means[:, None] - fit.level_mean, 0.0)
    log_weights = np.log(node_weights) - np.where(
        known, 0.5 * (np.log(total) + gap**2 / total), 0.0
    )
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    effects, doubt = np.full(n_instances, np.nan), np.zeros(n_instances)
    effects[: len(fit.effects)] = fit.effects
    seen = ~np.isnan(effects)
    doubt[: len(fit.effects)] = fit.effects_variance
    doubt[~seen] = 0.0  # what nobody knows is the same for all
    n_unseen = np.count_nonzero(~seen)
    effects[~seen] = math.sqrt(fit.instance_variance) * special.ndtri(
        (np.arange(n_unseen) + 0.5) / max(int(n_unseen), 1)
    )
    return _Imputation(
        weights,
        fit.level_mean + share * gap,
        np.sqrt(np.where(known, share * error, fit.level_variance)),
        np.sqrt(noise),
        effects,
        doubt,
    )


def _have_only_the_first(matrix: FloatArray) -> npt.NDArray[np.bool_]:
    return np.isfinite(matrix[:, 0]) & np.isnan(matrix[:, 1:]).all(axis=1)


def _evenly_spread(values: FloatArray, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return some of the chosen models, evenly spread over their ranks."""
    ranked = np.nonzero(chosen)[0]
    ranked = ranked[np.argsort(values[ranked], kind="stable")]
    positions = np.linspace(0, len(ranked) - 1, min(len(ranked), _N_INTERPOLATED))
    return np.asarray(ranked[positions.astype(np.intp)])


def _completed(
    matrix: FloatArray, imputed: _Imputation, criterion: Criterion
) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of the criterion at every node."""
    n_models, n_instances = matrix.shape
    missing = np.isnan(matrix)
    means = np.empty((n_models, _N_NODES))
    stds = np.zeros((n_models, _N_NODES))
    hopeless = ~np.isfinite(matrix).any(axis=1) & ~missing.all(axis=1)
    if hopeless.any():
        means[hopeless] = criterion(matrix[hopeless])[:, None]
    done = ~missing.any(axis=1) & ~hopeless
    if done.any():
        means[done] = criterion.score(matrix[done])[:, None]
    open_ = np.nonzero(~done & ~hopeless)[0]
    draws = _draws(n_instances + 1)
    for node in range(_N_NODES) if len(open_) else ():
        noise = np.sqrt(imputed.noise_stds[open_, node, None] ** 2 + imputed.effects_variance)
        levels = (
            imputed.levels[open_, node, None] + imputed.level_stds[open_, node, None] * draws[:, 0]
        )
        rows = levels[:, :, None] + imputed.effects + noise[:, None, :] * draws[:, 1:]
        rows = np.where(missing[open_, None, :], rows, matrix[open_, None, :])
        values = criterion(rows.reshape(-1, n_instances)).reshape(len(open_), -1)
        with np.errstate(invalid="ignore"):
            means[open_, node] = values.mean(axis=1)
            stds[open_, node] = values.std(axis=1)
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
