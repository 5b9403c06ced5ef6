"""Levels of models that were trained on since a fit, or came after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from optuna_robust._statistics.comparison._additive import usable
from optuna_robust._statistics.comparison._level_prior import LevelPrior
from optuna_robust._statistics.comparison._prediction import LevelPrediction
from optuna_robust._statistics.comparison._random_levels import RandomLevels


def updated_levels(
    fit: RandomLevels,
    losses: npt.ArrayLike,
    models: Sequence[int] | npt.NDArray[np.intp] | None = None,
    *,
    prediction: LevelPrediction | None = None,
) -> RandomLevels:
    """Return an earlier fit for some models, with what their losses say now.

    Effects of instances and the priors of levels and variances stay. The cost is that of the
    models that are asked about.

    Args:
        fit:
            The earlier fit.
        losses:
            Their losses now, shape ``(len(models), n_instances)``.
        models:
            Which models these are: indices of the fit, or greater ones for models that came
            later. Default: as many as there are losses, from the first.
        prediction:
            For every model that came later, in their order, what the models of the fit say of it:
            ``fit.prediction.of(features)``. None: nothing.

    Returns:
        The fit of these models. A model whose number of losses is the same has what it had.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import fit_random_levels
        >>> from optuna_robust.comparison import updated_levels
        >>> losses = np.array([[0.1, 0.2], [0.2, 0.2], [0.4, np.nan]])
        >>> fit = fit_random_levels(losses)
        >>> later = updated_levels(fit, [[0.4, 0.6], [0.3, np.nan]], [2, 3])
        >>> later.n, later.means.round(1)
        (array([2, 1]), array([0.5, 0.3]))
    """
    matrix = np.asarray(losses, dtype=np.float64)
    n_fitted = len(fit.means)
    chosen = np.arange(len(matrix)) if models is None else np.asarray(models, dtype=np.intp)
    if matrix.ndim != 2 or len(matrix) != len(chosen):
        raise ValueError(
            f"losses must be those of {len(chosen)} models, but had the shape {matrix.shape}."
        )
    later = chosen >= n_fitted
    if prediction is not None and len(prediction.mean) != np.count_nonzero(later):
        raise ValueError(
            f"prediction must be that of the {np.count_nonzero(later)} later models, but had "
            f"{len(prediction.mean)}."
        )
    finite = usable(matrix)
    n = np.count_nonzero(finite, axis=1)
    rows = np.where(later, 0, chosen)
    kept = fit.of(rows)
    prior = kept.prior
    if later.any():
        new = fit.prior.of_new(int(np.count_nonzero(later)), prediction)
        weights, means, variances = (
            values.copy() for values in (prior.weights, prior.means, prior.variances)
        )
        weights[later], means[later], variances[later] = new.weights, new.means, new.variances
        prior = LevelPrior(weights, means, variances, prior.rule)
    if not (changed := later | (n != kept.n)).any():
        return kept
    effects = np.zeros(matrix.shape[1])
    n_columns = min(len(effects), len(fit.effects))
    effects[:n_columns] = np.nan_to_num(fit.effects[:n_columns])
    free = np.where(finite, np.where(finite, matrix, 0.0) - effects, 0.0)
    own_means = np.full(len(matrix), np.nan)
    np.divide(free.sum(axis=1), n, out=own_means, where=n > 0)
    squares = np.where(finite, free - np.nan_to_num(own_means)[:, None], 0.0) ** 2
    df = np.maximum(n - 1, 0).astype(np.float64)
    typical_df = float(np.median(fit.prior_df))
    prior_df = np.where(later, typical_df, kept.prior_df)
    flat = fit.prior_variances / fit.trend.factor(fit.levels())
    prior_variances = np.where(
        later, float(np.median(flat)) * fit.trend.factor(own_means), kept.prior_variances
    )
    total_df = df + prior_df
    infinite = np.isinf(prior_df)
    own = squares.sum(axis=1)
    moderated = np.where(
        infinite,
        prior_variances,
        # Smyth (2004), section 3.
        (np.where(infinite, 0.0, prior_df) * prior_variances + own)
        / np.where(infinite, 1.0, np.maximum(total_df, 1e-12)),
    )
    return replace(
        kept,
        means=np.where(changed, own_means, kept.means),
        n=n,
        variances=np.where(changed, moderated, kept.variances),
        df=np.where(changed, total_df, kept.df),
        prior=prior,
        prior_variances=prior_variances,
        prior_df=prior_df,
    )
