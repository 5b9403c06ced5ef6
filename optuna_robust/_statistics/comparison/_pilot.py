"""What a pilot says about the noise of losses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from optuna_robust._statistics.comparison._additive import AdditiveFit
from optuna_robust._statistics.comparison._additive import fit_additive
from optuna_robust._statistics.comparison._moderation import moderate_variances


# The square of a larger loss is not a number any more.
_INFINITE = 1e150


class PilotNoise(NamedTuple):
    """How the losses of a typical model vary.

    Attributes:
        level: Their mean.
        noise: Variance of what is the model's own.
        instances: Variance of what common instances add to every model's loss; 0 if they are not
            common, or nobody can tell.
        paired: Whether two models are compared on common instances.
    """

    level: float
    noise: float
    instances: float
    paired: bool


def pilot_noise(pilot: npt.ArrayLike, *, common_instances: bool) -> PilotNoise:
    """Estimate the noise of a typical model from a pilot.

    Args:
        pilot:
            Losses, shape ``(n_models, n_instances)`` or ``(n_instances,)``; NaN and infinite
            ones are left out.
        common_instances:
            Whether instance j is the same for all models.

    Raises:
        ValueError: If the pilot does not tell.
    """
    matrix = np.asarray(pilot, dtype=np.float64)
    if matrix.ndim not in (1, 2):
        raise ValueError(
            "pilot must have the shape (n_models, n_instances) or (n_instances,), "
            f"but had {matrix.shape}."
        )
    matrix = np.atleast_2d(matrix)
    matrix = np.where(np.abs(matrix) < _INFINITE, matrix, np.nan)
    counts = np.count_nonzero(~np.isnan(matrix), axis=1)
    if counts.max(initial=0) < 2:
        raise ValueError(
            "pilot must have a model with at least two finite losses, but the most of any model "
            f"was {counts.max(initial=0)}."
        )
    matrix = matrix[counts > 0]
    raw = fit_additive(matrix, common_instances=False)
    total = noise = _typical_variance(raw)
    paired = common_instances and len(matrix) > 1
    if paired:
        fit = fit_additive(matrix)
        if fit.df.sum() == 0.0:
            raise ValueError(
                "pilot must have two instances that two models have in common, or else noise "
                "cannot be told from what the instances add; give more losses, or "
                "common_instances=False."
            )
        noise = _typical_variance(fit)
    if not noise > 0.0:
        raise ValueError(
            "pilot must have losses that vary, but every model's are identical over its instances"
            f"{' (or differ by the same amounts for all models)' if paired else ''}. The "
            "objective seems to fix its own seed."
        )
    return PilotNoise(float(np.median(raw.levels)), noise, max(total - noise, 0.0), paired)


def _typical_variance(fit: AdditiveFit) -> float:
    """Return the median of the models' true variances.

    Their mean would be that of the few wildest models. In the model of Smyth (2004), section 3,
    true variances are ``d0 s02 / chi2(d0)``, and sample ones scatter more.
    """
    from scipy import special  # noqa: PLC0415

    found = moderate_variances(fit.s2, fit.df, robust=True)
    if np.isnan(found.prior_variance):  # one variance, or only zeros
        return float(fit.s2[fit.df > 0.0].mean())
    if np.isinf(found.prior_df):
        return found.prior_variance
    median = float(special.chdtri(found.prior_df, 0.5))
    return found.prior_variance * found.prior_df / median
