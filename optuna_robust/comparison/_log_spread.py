"""Logarithms of spreads with borrowed strength, and how sure they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from optuna_robust.comparison._moderation import check_variances
from optuna_robust.comparison._moderation import moderate_variances
from optuna_robust.comparison._variance_prior import log_moment
from optuna_robust.criteria import FloatArray


class LogSpread(NamedTuple):
    """Estimated logarithms of variances."""

    mean: FloatArray
    standard_error: FloatArray


def moderated_log_spread(
    variances: npt.ArrayLike,
    df: npt.ArrayLike,
    *,
    robust: bool = False,
    outlier_share: float = 0.1,
    prior_variance: float | None = None,
    prior_df: float | None = None,
) -> LogSpread:
    """Return what is known of the logarithm of every model's variance.

    The posterior of sigma2 in the model of :func:`moderate_variances` is ``D s2_post / chi2(D)``
    with D = d0 + d, so that log sigma2 has the mean ``log(s2_post) + log(D / 2) - digamma(D / 2)``
    and the variance ``trigamma(D / 2)``. Weighting log s2 and the prior with their inverse
    variances instead, the best linear estimate, gives models with equal d the same order. Its
    squared error is up to a third larger with one or two degrees of freedom, since a lucky tiny
    variance, of two nearly equal losses, has no bound there; it is smaller, up to a quarter, where
    d is larger and variances differ more than by a factor of 10.

    The prior never says that all models are alike (``keep_order=True``), so that criteria of
    spread can be ranked by the mean. The standard deviation is ``exp(mean / 2)``.

    Args:
        variances:
            Sample variances, as for :func:`moderate_variances`; for criteria of spread those of
            the losses as measured, with the instances' effects in.
        df:
            Their degrees of freedom.
        robust:
            Whether to guard against outlying variances.
        outlier_share:
            As for :func:`moderate_variances`.
        prior_variance:
            As for :func:`moderate_variances`.
        prior_df:
            As for :func:`moderate_variances`.

    Returns:
        Posterior means and standard deviations of the (natural) logarithm of the variances, each
        of shape ``(n_models,)``: those of the prior for a model without a variance; NaN if there
        is no prior either, and minus infinity if a model's losses are identical and there is no
        prior.

    Raises:
        ValueError: As for :func:`moderate_variances`.

    Example:
        >>> from optuna_robust.comparison import moderated_log_spread
        >>> spread = moderated_log_spread([1.0, 1.1, 1.2, float("nan")], [4, 4, 4, 0])
        >>> spread.mean.round(3), spread.standard_error.round(3)
        (array([0.059, 0.096, 0.132, 0.095]), array([0.448, 0.448, 0.448, 0.577]))
    """
    found = moderate_variances(
        variances,
        df,
        robust=robust,
        outlier_share=outlier_share,
        keep_order=True,
        prior_variance=prior_variance,
        prior_df=prior_df,
    )
    from scipy import special  # noqa: PLC0415

    half = (check_variances(variances, df)[1] + found.own_prior_df) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.log(found.posterior) - log_moment(half)
        standard_error = np.sqrt(special.polygamma(1, half))
    unknown = np.isnan(mean)
    standard_error[unknown] = np.nan
    return LogSpread(mean, standard_error)
