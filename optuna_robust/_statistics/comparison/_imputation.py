"""What missing losses are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._random_levels import RandomLevels


# Of the distribution of a model's variance (Gauss-Hermite).
_N_NODES = 5
# Nodes of a smaller weight are left out where there are two components, for speed.
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class Imputation:
    """For every model a mixture over its variance and the components of its level's prior.

    ``weights``, ``levels``, ``level_stds`` and ``noise_stds`` have the shape ``(n_models,
    n_nodes)``; ``effects`` and the variance of their errors ``(n_instances,)``.
    """

    weights: FloatArray
    levels: FloatArray
    level_stds: FloatArray
    noise_stds: FloatArray
    effects: FloatArray
    effects_variance: FloatArray

    def of(self, models: npt.NDArray[np.intp]) -> Imputation:
        """Return that of some of the models."""
        return Imputation(
            self.weights[models],
            self.levels[models],
            self.level_stds[models],
            self.noise_stds[models],
            self.effects,
            self.effects_variance,
        )

    def expected_levels(self) -> FloatArray:
        """Return the expected level of every model."""
        return np.asarray((self.weights * self.levels).sum(axis=1))


def imputation(fit: RandomLevels, n_instances: int, *, fresh: bool = False) -> Imputation:
    """Return what missing losses are drawn from, or all losses of fresh instances."""
    from scipy import special  # noqa: PLC0415

    nodes, node_weights = np.polynomial.hermite_e.hermegauss(_N_NODES)
    df = np.maximum(fit.df, 1.0)[:, None]
    # Smyth (2004), section 3: given the losses, sigma2 is D s2 / chi2(D), with D = d0 + d.
    chi2 = 2.0 * special.gammaincinv(df / 2.0, special.ndtr(nodes))
    noise = np.maximum(fit.variances[:, None] * df / chi2, 1e-300)
    error = noise / np.maximum(fit.n, 1)[:, None]
    known = (fit.n > 0)[:, None]
    prior = fit.prior
    levels, level_stds, log_weights = [], [], []
    for component in range(prior.weights.shape[1]):
        mean = prior.means[:, component, None]
        variance = prior.variances[:, component, None]
        total = variance + error
        # Posterior of a normal level with a normal prior (Lindley & Smith 1972).
        share = np.where(known, variance / total, 0.0)
        gap = np.where(known, fit.means[:, None] - mean, 0.0)
        with np.errstate(divide="ignore"):
            log_weight = np.log(prior.weights[:, component, None]) + np.log(node_weights)
        log_weights.append(
            log_weight - np.where(known, 0.5 * (np.log(total) + gap**2 / total), 0.0)
        )
        levels.append(mean + share * gap)
        level_stds.append(np.sqrt(np.where(known, share * error, variance)))
    weights = np.hstack(log_weights)
    weights = np.exp(weights - weights.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    if prior.weights.shape[1] > 1:
        weights[weights < _NEGLIGIBLE] = 0.0
        weights /= weights.sum(axis=1, keepdims=True)
    effects, doubt = _effects(fit, n_instances, fresh=fresh)
    return Imputation(
        weights,
        np.hstack(levels),
        np.hstack(level_stds),
        np.tile(np.sqrt(noise), prior.weights.shape[1]),
        effects,
        doubt,
    )


def _effects(fit: RandomLevels, n_instances: int, *, fresh: bool) -> tuple[FloatArray, FloatArray]:
    from scipy import special  # noqa: PLC0415

    effects, doubt = np.full(n_instances, np.nan), np.zeros(n_instances)
    if not fresh:
        n_known = min(len(fit.effects), n_instances)
        effects[:n_known] = fit.effects[:n_known]
        doubt[:n_known] = fit.effects_variance[:n_known]
    unseen = np.isnan(effects)
    doubt[unseen] = 0.0  # what nobody knows is the same for all
    n_unseen = int(np.count_nonzero(unseen))
    effects[unseen] = math.sqrt(fit.instance_variance) * special.ndtri(
        (np.arange(n_unseen) + 0.5) / max(n_unseen, 1)
    )
    return effects, doubt
