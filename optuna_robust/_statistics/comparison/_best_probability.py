"""Which of several models is the best, by the same differences and errors as their pairs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arguments import check_count
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._paired import difference_errors
from optuna_robust._statistics.comparison._paired import losses_of_models
from optuna_robust._statistics.comparison._resampling import resamples
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.criteria import identical
from optuna_robust._statistics.criteria import is_better


_N_DRAWS = 20_000


def probability_of_best(
    losses: npt.ArrayLike,
    criterion: str | Callable[[FloatArray], float] | Criterion,
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> FloatArray:
    """Return every model's probability of being the best.

    The differences of the models' criteria are distributed jointly as the Student t distribution
    of :func:`~optuna_robust.comparison.paired_criterion_test`, with the same standard errors: of
    two models with a p-value of p, the better one has the probability 1 - p / 2. This is the
    posterior probability for a flat prior (Box & Tiao 1973, section 2.4), and the confidence
    value of the problem of regions (Efron & Tibshirani 1998). It takes the models as they are:
    that they were chosen as the best of many is not part of it.

    Where a model misses instances, has an infinite loss, or there is no standard error (fewer
    than 5 instances, ``max``, ``min``), it is the share of bootstrap samples of the instances in
    which a model is the best (Felsenstein 1985), which means little with few instances, and does
    not go with an exchange test.

    Args:
        losses:
            Losses to be minimised, shape ``(n_models, n_instances)``, with common instances in
            the columns; NaN = not trained. A model that lacks instances is judged on fewer of
            them, which flatters its spread: pass common columns where it lacks many.
        criterion:
            A name or callable as in :func:`~optuna_robust.criteria.get_criterion`.
        n_resamples:
            Bootstrap samples.
        seed:
            Seed of the resampling.

    Returns:
        Probabilities of shape ``(n_models,)`` that sum to 1; NaN if no model has a value. Models
        that are the same, that is, tie within 1e-12 relative in every sample, share theirs. A
        model without a value is never the best. A spread of identical losses is infinite, as in
        :meth:`~optuna_robust.criteria.Criterion.score`; a sample that repeats a loss by chance is
        not meant by that.

    Raises:
        ValueError: If the losses do not have two dimensions, or ``n_resamples`` is below 1.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import probability_of_best
        >>> rng = np.random.default_rng(1)
        >>> losses = rng.normal([[0.0], [0.3], [2.0]], 1.0, size=(3, 30))
        >>> probability_of_best(losses, "mean").round(1).tolist()
        [0.9, 0.1, 0.0]
        >>> probability_of_best(np.tile(losses[0], (4, 1)), "mean").tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    chosen = get_criterion(criterion)
    check_count("n_resamples", n_resamples, minimum=1)
    matrix = losses_of_models(losses)
    without_spread = identical(matrix) & (chosen.kind == "spread")
    # Those without a spread are the best only where no other has one: samples tell.
    rivals = np.flatnonzero(~without_spread)
    if not np.isfinite(matrix).all() or not len(rivals):
        return _shares_of_samples(matrix, chosen, n_resamples, seed)
    errors = difference_errors(matrix[rivals], chosen, n_resamples=n_resamples, seed=seed)
    values = chosen(matrix[rivals])
    if np.isnan(errors).any() or not np.isfinite(values).all():
        return _shares_of_samples(matrix, chosen, n_resamples, seed)
    found = np.zeros(len(matrix))
    found[rivals] = _of_differences(values, errors, matrix.shape[1] - 1, seed)
    return found


def _of_differences(values: FloatArray, errors: FloatArray, df: int, seed: int) -> FloatArray:
    """Return the probabilities of being the best, from criteria and errors of differences."""
    tied = ~is_better(values[:, None], values) & ~is_better(values, values[:, None])
    # The first of the models that are the same stands for them.
    leader = ((errors == 0.0) & tied).argmax(axis=1)
    distinct, group = np.unique(leader, return_inverse=True)
    shares = _of_distinct(values[distinct], errors[np.ix_(distinct, distinct)], df, seed)
    return np.asarray((shares / np.bincount(group))[group])


def _of_distinct(values: FloatArray, errors: FloatArray, df: int, seed: int) -> FloatArray:
    from scipy import special  # noqa: PLC0415

    if len(values) == 1:
        return np.ones(1)
    if len(values) == 2:
        difference, error = values[0] - values[1], errors[0, 1]
        second = special.stdtr(df, difference / error) if error else float(difference > 0.0)
        return np.array([1.0 - second, second])
    order = np.argsort(values, kind="stable")  # the same draws, whatever order models come in
    covariances = _covariances(errors[np.ix_(order, order)] ** 2)
    eigenvalues, vectors = np.linalg.eigh(covariances)
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(_N_DRAWS, len(values)))
    noise = normal @ (vectors * np.sqrt(np.maximum(eigenvalues, 0.0))).T
    # The multivariate t distribution (Dunnett & Sobel 1954).
    noise /= np.sqrt(rng.chisquare(df, size=(_N_DRAWS, 1)) / df)
    best = (values[order] + noise).argmin(axis=1)
    shares = np.empty(len(values))
    shares[order] = np.bincount(best, minlength=len(values)) / _N_DRAWS
    return shares


def _covariances(squares: FloatArray) -> FloatArray:
    """Return covariances about the models' mean of which differences have these variances."""
    half = -0.5 * squares
    # Double centring (Torgerson 1952).
    return np.asarray(half - half.mean(axis=0) - half.mean(axis=1, keepdims=True) + half.mean())


def _shares_of_samples(
    losses: FloatArray, criterion: Criterion, n_resamples: int, seed: int
) -> FloatArray:
    """Return the share of bootstrap samples in which every model is the best."""
    wins = np.zeros(len(losses))
    without_spread = identical(losses) & (criterion.kind == "spread")
    for sample in resamples(losses, n_resamples, seed):
        scores = criterion(sample)
        # Not criterion.score: drawing one loss n times is chance and no sign of a fixed seed.
        scores[without_spread & ~np.isnan(scores)] = np.inf
        valid = ~np.isnan(scores)
        lowest = np.where(valid, scores, np.inf).min(axis=1, keepdims=True)
        best = valid & ~is_better(lowest, scores)
        best = best[best.any(axis=1)]
        wins += (best / best.sum(axis=1, keepdims=True)).sum(axis=0)
    n_decided = wins.sum()
    return wins / n_decided if n_decided else np.full(len(losses), np.nan)
