"""Two-way additive fit of an incomplete losses matrix: levels of models, effects of instances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arrays import FloatArray


# The square of a larger loss is not a number any more.
_INFINITE = 1e150
# Relative to a model's losses: a smaller residual is rounding.
_ROUNDING = 1e-12
# Relative to the largest one: a smaller eigenvalue is zero.
_SINGULAR = 1e-12
# Fewer degrees of freedom are rounding.
_LEAST_DF = 1e-9
# Huber (1964): 95 % of the efficiency of least squares for normal noise.
_HUBER = 1.345
# The effects have settled when they move by less than this share of the noise ...
_SETTLED = 1e-5
# ... and the scale of the noise when it moves by less than this share of it.
_SETTLED_SCALE = 1e-3
_MOST_ITERATIONS = 50


@dataclass(frozen=True)
class AdditiveFit:
    """Levels of models and effects of common instances.

    Attributes:
        levels: Mean of a model's losses without the instances' effects, shape ``(n_models,)``;
            NaN without a loss. A model with an infinite loss has the mean of its losses, which is
            infinite.
        effects: What an instance adds to every model's loss, shape ``(n_instances,)``; NaN where
            no model has a finite loss. They sum to zero over the instances that models connect
            (two instances are connected if a model has both, or both are connected with a third),
            so that levels of models are comparable within such a set of instances only. All are 0
            without common instances.
        s2: Residual variance of every model, shape ``(n_models,)``; NaN without degrees of
            freedom and for a model with an infinite loss.
        df: Residual degrees of freedom of ``s2``, shape ``(n_models,)``, not integer in general;
            they sum to those of the whole fit, less those of models with an infinite loss (0).
        n: Number of finite losses, shape ``(n_models,)``.
        effects_covariance: Covariance of the least-squares effects for noise of variance 1, shape
            ``(n_instances, n_instances)``.
    """

    levels: FloatArray
    effects: FloatArray
    s2: FloatArray
    df: FloatArray
    n: npt.NDArray[np.intp]
    effects_covariance: FloatArray


def fit_additive(
    losses: npt.ArrayLike,
    *,
    robust: bool = True,
    common_instances: bool = True,
) -> AdditiveFit:
    """Split losses into levels of models, effects of common instances, and noise.

    The model is ``loss[i, j] = level[i] + effect[j] + noise[i, j]`` on the losses that are there,
    however few (Scheffé 1959, section 4.4, for unequal numbers in a two-way layout). Models are
    eliminated from the normal equations, so that a system of the size of the instances is solved
    and no step is quadratic in models.

    ``robust=False`` is least squares. ``robust=True`` takes the effects from Huber's (1964)
    M-estimate of levels and effects with a common scale (the normalised median of absolute
    residuals; Huber 1981, sections 7.7 and 7.8), started at medians of differences. Heavy tails
    and single wild losses do not move it by more than a part of its standard error, and models
    with much noise weigh less: with two instances of 200 models, of which 10 % (30 %, 40 %) have
    a wild loss, all to the same side, the error of the effects is 1.1 (2, 3.5) times that of
    least squares without wild losses. Since noise of a model is exchangeable between its
    instances, effects are unbiased for skewed losses too. Of two models nobody can tell which one
    is wild, nor on an instance that only two models have, and of three only with three instances.
    Given the effects, levels are plain means and residual variances plain sums of squares in
    either case: a model's own wild losses are part of its behaviour, they must not reach others.

    Effects that are estimated from the same few models take degrees of freedom from them. If all
    have the same variance, a model's residual sum of squares is that variance, times its number
    of losses, less one for the level, less its share in the effects: the trace of the residual
    projection over its losses. That is ``df``; in a complete matrix of m models and n instances
    ``(n - 1) (1 - 1/m)``, so that two models (whose residuals mirror each other, and whose
    variances are thus always equal) share n - 1. A single variance is spread as with up to n - 1
    degrees of freedom, but those of few models depend on each other, and all of them together
    know no more than the sum of ``df``. If variances differ, least squares draws them to each
    other: in a complete matrix ``s2`` expects ``(1 - 1/m) own + (1/m) mean of the others``.

    Args:
        losses:
            Losses to be minimised, shape ``(n_models, n_instances)``; NaN = not trained. Infinite
            losses are as if not trained, but for the level and ``s2`` of their models; finite
            losses of such models help to estimate effects like others.
        robust:
            Whether single losses may not move the effects. ``df`` is that of least squares, and
            for normal noise ``s2`` is too large by 1 % then with three to five models.
        common_instances:
            Whether instance j is the same for all models. If not, levels are means and ``s2`` are
            variances, with n - 1 degrees of freedom.

    Returns:
        The fit. Residuals within 1e-12 relative of a model's losses are 0.

    Raises:
        ValueError: If the losses do not have two dimensions.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import fit_additive
        >>> losses = [[1.0, 2.0, 4.0], [2.0, 3.0, 6.0], [5.0, np.nan, np.nan]]
        >>> fit = fit_additive(losses, robust=False)
        >>> fit.levels.round(3), fit.effects.round(3)
        (array([2.333, 3.667, 6.5  ]), array([-1.5, -0.5,  2. ]))
        >>> fit.s2.round(3), fit.df.round(3)
        (array([0.167, 0.167,   nan]), array([1., 1., 0.]))
    """
    matrix = _check_losses(losses)
    finite = usable(matrix)
    n = np.count_nonzero(finite, axis=1)
    # Losses of any size less a typical one of their model, so that no digit is lost.
    base = _middle(matrix, finite)[0]
    with np.errstate(invalid="ignore"):
        centred = np.where(finite, matrix - base[:, None], 0.0)
        if common_instances:
            effects, covariance = _fit_effects(centred, finite, robust=robust)
        else:
            effects = np.where(finite.any(axis=0), 0.0, np.nan)
            covariance = np.zeros((matrix.shape[1], matrix.shape[1]))
        residuals = np.where(finite, centred - effects, 0.0)
        means = residuals.sum(axis=1) / np.maximum(n, 1)
        residuals = np.where(finite, residuals - means[:, None], 0.0)
        size = np.where(finite, np.abs(matrix), 0.0).max(axis=1, initial=0.0)
        residuals[np.abs(residuals) <= _ROUNDING * size[:, None]] = 0.0
        levels = np.where(n > 0, base + means, np.nan)
        fails = (~finite & ~np.isnan(matrix)).any(axis=1)
        levels[fails] = _plain_means(matrix[fails])
        shares = _shares(finite)
        cost = finite @ np.diag(covariance) - n * ((shares @ covariance) * shares).sum(axis=1)
        df = np.where(fails, 0.0, n - 1 - cost)
        df[df < _LEAST_DF] = 0.0
        s2 = np.full(len(matrix), np.nan)
        np.divide((residuals**2).sum(axis=1), df, out=s2, where=df > 0.0)
    return AdditiveFit(levels, effects, s2, df, n, covariance)


def _check_losses(losses: npt.ArrayLike) -> FloatArray:
    matrix = np.asarray(losses, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(
            f"losses must have the shape (n_models, n_instances), but had {matrix.shape}."
        )
    return matrix


def usable(losses: FloatArray) -> npt.NDArray[np.bool_]:
    return np.abs(losses) < _INFINITE  # NaN is not


def _plain_means(losses: FloatArray) -> FloatArray:
    trained = ~np.isnan(losses)
    means = np.where(trained, losses, 0.0).sum(axis=1) / trained.sum(axis=1)
    return np.where(np.isnan(means), np.inf, means)  # infinity minus infinity, as for a criterion


def _shares(weights: npt.NDArray[np.bool_] | FloatArray) -> FloatArray:
    """Return weights that sum to 1 over the instances of every model with any."""
    totals = weights.sum(axis=1, keepdims=True)
    return np.asarray(weights / np.where(totals > 0.0, totals, 1.0))


def _middle(values: FloatArray, there: npt.NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Return the lower and the upper median of what is there in every row; 0 without."""
    if values.shape[1] == 0:
        return np.zeros(len(values)), np.zeros(len(values))
    ordered = np.sort(np.where(there, values, np.inf), axis=1)
    last = np.maximum(np.count_nonzero(there, axis=1) - 1, 0)
    middle = np.column_stack([last // 2, (last + 1) // 2])
    found = np.take_along_axis(ordered, middle, axis=1)
    found[~there.any(axis=1)] = 0.0
    return found[:, 0], found[:, 1]


def _fit_effects(
    centred: FloatArray, finite: npt.NDArray[np.bool_], *, robust: bool
) -> tuple[FloatArray, FloatArray]:
    """Return the effects and their covariance in units of the noise's variance."""
    # A model with one loss says nothing on effects. Turned round, sums over models and over
    # instances are both fast.
    tells = np.count_nonzero(finite, axis=1) >= 2
    values = np.ascontiguousarray(centred[tells].T)
    there = np.ascontiguousarray(finite[tells].T)
    weights = there.astype(np.float64)
    connected = (weights @ weights.T > 0.0) | np.eye(len(weights), dtype=bool)
    for _ in range(len(weights).bit_length()):
        connected = connected @ connected
    mean_of_connected = connected / np.maximum(connected.sum(axis=1, keepdims=True), 1)
    effects, covariance = _solve(values, weights)
    if robust and values.shape[1] > 2:  # two models mirror each other: neither is the wild one
        effects = _huber_effects(values, there, effects)
    effects = effects - mean_of_connected @ effects
    effects[~finite.any(axis=0)] = np.nan
    return effects, covariance


def _solve(values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Solve the weighted normal equations for the effects, with the models eliminated.

    With weights W: C effects = right, ``C = diag(sums over models) - W diag(1 / sums over
    instances) W'``. The pseudo-inverse of C makes the effects sum to zero
    over connected instances. Shapes are ``(n_instances, n_models)`` here.
    """
    totals = weights.sum(axis=0)
    weighted = weights * values
    shares = weights / totals
    # Scheffé (1959), section 4.4.
    matrix = np.diag(weights.sum(axis=1)) - weights @ shares.T
    right = weighted.sum(axis=1) - shares @ weighted.sum(axis=0)
    inverse = np.linalg.pinv(matrix, rcond=_SINGULAR, hermitian=True)
    return inverse @ right, inverse


def _huber_effects(
    values: FloatArray, there: npt.NDArray[np.bool_], effects: FloatArray
) -> FloatArray:
    """Return Huber's M-estimate of the effects by iteratively reweighted least squares.

    Shapes are ``(n_instances, n_models)``. The scale is estimated with them (Huber 1981, sections
    7.7 and 7.8) until it has settled; with a fixed scale the problem is convex.
    """
    from scipy import special  # noqa: PLC0415

    # Losses that the fit meets in any case, without a residual, say nothing on the noise.
    judged = there & (np.count_nonzero(there, axis=1)[:, None] > 1)
    judged &= np.count_nonzero(judged, axis=0) > 1
    if not judged.any():
        return effects
    # Residuals are smaller than noise, most of all those of models with two losses.
    n_of_models = np.maximum(np.count_nonzero(judged, axis=0), 2)
    n_of_instances = np.maximum(np.count_nonzero(judged, axis=1), 2)
    enlarge = 1.0 / np.sqrt((1.0 - 1.0 / n_of_models) * (1.0 - 1.0 / n_of_instances[:, None]))
    enlarge[~judged] = 0.0  # weight 1
    # The median of three residuals is one that the fit makes zero: with few models the scale is
    # that of a higher quantile, and the limit is wider.
    few = 1.0 / np.broadcast_to(n_of_instances[:, None], judged.shape)
    share = 0.5 + 0.5 * float(few[judged].mean())
    normal = special.ndtri(0.5 + 0.5 * share)
    limits = _HUBER / (1.0 - few[:, :1])
    effects = _median_effects(values, there)
    low, high = _middle((values - effects[:, None]).T, there.T)
    levels = low + (high - low) / 2.0
    scale = np.nan
    settled = False
    for _ in range(_MOST_ITERATIONS):
        sizes = np.abs(values - effects[:, None] - levels)
        sizes *= enlarge
        if not settled:
            previous_scale, scale = scale, float(np.quantile(sizes[judged], share)) / normal
            settled = abs(scale - previous_scale) <= _SETTLED_SCALE * scale
        if not scale > 0.0:
            break
        # Huber (1964): the weight is min(1, limit / size).
        weights = there * (limits * scale / np.maximum(sizes, limits * scale))
        previous, effects = effects, _solve(values, weights)[0]
        levels = (weights * (values - effects[:, None])).sum(axis=0) / weights.sum(axis=0)
        moved = np.abs(effects - previous).max()
        if settled and moved <= _SETTLED * scale:
            break
    return effects


def _median_effects(values: FloatArray, there: npt.NDArray[np.bool_]) -> FloatArray:
    """Return effects by medians of the differences between every two instances.

    A model's level is not in them, its noise is symmetric there, and they move with the effects.
    """
    n_instances = len(values)
    gaps, counts = np.zeros((n_instances, n_instances)), np.zeros((n_instances, n_instances))
    for j in range(n_instances):
        for k in range(j):
            both = there[j] & there[k]
            counts[j, k] = counts[k, j] = np.count_nonzero(both)
            if counts[j, k] > 0.0:
                gaps[j, k] = np.median(values[j, both] - values[k, both])
                gaps[k, j] = -gaps[j, k]
    matrix = np.diag(counts.sum(axis=1)) - counts
    inverse = np.linalg.pinv(matrix, rcond=_SINGULAR, hermitian=True)
    return np.asarray(inverse @ (counts * gaps).sum(axis=1))
