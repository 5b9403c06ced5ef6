"""What hyperparameters say of the levels of models: a Gaussian process, one model left out."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arrays import FloatArray


# Losses that are worse than the median by so many times the spread of the better half are all the
# same: bad.
_CLIPPED = 2.0
_MAD_SCALE = 1.4826
# Fewer models with a loss predict nothing.
FEWEST_MODELS = 12
# The parameters of the kernel are fitted to so many models, evenly spread over their ranks ...
_N_FOR_KERNEL = 160
# ... and so many models stand for all (inducing points).
_N_INDUCING = 256
_MOST_ITERATIONS = 40
_JITTER = 1e-6
# Log-normal priors of the parameters: mean and standard deviation of their logarithms.
_LOG_WEIGHT, _LOG_LENGTH, _LOG_SCALE, _LOG_OWN = (-1.5, 1.5), (0.0, 1.0), (-1.0, 1.5), (-1.0, 1.5)
_MOST_OF_A_LOGARITHM = 6.0
_OWN_VARIANCES = np.geomspace(1e-3, 2.0, 12)


@dataclass(frozen=True)
class LevelKernel:
    """How alike the levels of two models are, from their features in [0, 1].

    The covariance of two levels is ``scale * prod(1 + weights * matern(distance / lengths))``:
    effects of the features and all their interactions (Wahba 1990, chapter 10).

    Attributes:
        weights: How much every feature matters, shape ``(n_features,)``.
        lengths: Over what distance, same shape.
        scale: Of the covariance, in units of the variance of the losses.
        own: Variance of what features do not tell, in the same units.
    """

    weights: FloatArray
    lengths: FloatArray
    scale: float
    own: float

    def between(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """Return covariances, shape ``(n_first, n_second)``."""
        product = np.full((len(first), len(second)), self.scale)
        for j in range(len(self.weights)):
            distance = np.abs(first[:, j, None] - second[:, j]) / self.lengths[j]
            product *= 1.0 + self.weights[j] * _matern(distance)
        return product

    def itself(self) -> float:
        """Return the variance of a level, without what features do not tell."""
        return float(self.scale * np.prod(1.0 + self.weights))


@dataclass(frozen=True)
class LevelPrediction:
    """What the other models' losses say of every model's level.

    Attributes:
        mean: Predicted levels, shape ``(n_models,)``.
        std: Standard deviations of the levels around them, same shape: of the prediction, and of
            what features do not tell.
        kernel: Which models are taken to be alike; None where nothing could be predicted.
    """

    mean: FloatArray
    std: FloatArray
    kernel: LevelKernel | None
    _state: _Fitted | None = None

    def of(self, features: npt.ArrayLike) -> LevelPrediction:
        """Return what all models' losses say of models that are not among them.

        Args:
            features:
                Of the models, shape ``(n_models, n_features)``; NaN = not known: then the mean
                is the median of all, and the standard deviation infinite.
        """
        new = np.asarray(features, dtype=np.float64)
        mean = np.full(len(new), float(np.median(self.mean)))
        std = np.full(len(new), np.inf)
        if self._state is None or self.kernel is None:
            return LevelPrediction(mean, std, None)
        known = ~np.isnan(new).any(axis=1)
        if known.any():
            mean[known], variance = self._state.predict(new[known], self.kernel)
            std[known] = np.sqrt(variance)
        return LevelPrediction(mean, std, self.kernel)


@dataclass(frozen=True)
class _Fitted:
    """A sparse Gaussian process, and how features and losses were standardised."""

    low: FloatArray
    width: FloatArray
    centre: float
    unit: float
    inducing: FloatArray
    factor: FloatArray
    posterior_factor: FloatArray
    coefficients: FloatArray

    def predict(self, features: FloatArray, kernel: LevelKernel) -> tuple[FloatArray, FloatArray]:
        from scipy import linalg  # noqa: PLC0415

        inside = np.clip((features - self.low) / self.width, -0.5, 1.5)
        phi = linalg.solve_triangular(
            self.factor, kernel.between(inside, self.inducing).T, lower=True
        )
        rest = np.maximum(kernel.itself() - (phi**2).sum(axis=0), 0.0)
        spread = linalg.solve_triangular(self.posterior_factor, phi, lower=True)
        variance = (spread**2).sum(axis=0) + rest + kernel.own
        return self.centre + self.unit * (self.coefficients @ phi), self.unit**2 * variance


def predict_levels(
    features: npt.ArrayLike,
    means: npt.ArrayLike,
    errors: npt.ArrayLike | None = None,
    *,
    kernel: LevelKernel | None = None,
) -> LevelPrediction:
    """Predict every model's level from the losses of all other models.

    A Gaussian process (Rasmussen & Williams 2006) whose kernel has effects of every feature and
    their interactions. Its parameters are those of greatest posterior density; a feature that
    says nothing gets next to no weight. A model's own loss is left out of its prediction
    (equation 5.12), but for its part in these few parameters. Of more than 256 models,
    so many stand for all (Snelson & Ghahramani 2006), and the cost is linear in models.

    Losses much worse than the median are clipped: how bad the bad are says nothing on the good.

    Args:
        features:
            Of the hyperparameters, shape ``(n_models, n_features)``; see :func:`encode_models`.
        means:
            Every model's mean loss, to be minimised, shape ``(n_models,)``; NaN = none, and
            infinity is very bad.
        errors:
            Variances of the means around the levels, same shape. None: not known; then they are
            part of what features do not tell.
        kernel:
            One that is known, which saves the time to fit it.

    Returns:
        The predictions. With fewer than a dozen models with a loss, without features or if all
        losses are equal, the medians of the losses, with infinite standard deviations.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import predict_levels
        >>> x = np.linspace(0.0, 1.0, 21)
        >>> found = predict_levels(x[:, None], x**2)
        >>> found.mean[[5, 10]].round(1), found.of([[0.72]]).mean.round(1)
        (array([0.1, 0.3]), array([0.5]))
    """
    matrix = np.asarray(features, dtype=np.float64)
    values = np.asarray(means, dtype=np.float64)
    if matrix.ndim != 2 or values.shape != (len(matrix),):
        raise ValueError(
            f"features and means must have the shapes (n_models, n_features) and (n_models,), but "
            f"had {matrix.shape} and {values.shape}."
        )
    noise = np.zeros(len(values)) if errors is None else np.asarray(errors, dtype=np.float64)
    if noise.shape != values.shape:
        raise ValueError(f"errors must have the shape {values.shape}, but had {noise.shape}.")
    known = ~np.isnan(values)
    clipped = _clipped(values[known])
    unit = float(clipped.std()) if len(clipped) else 0.0
    differs = np.ptp(matrix[known], axis=0) > 0.0 if known.any() else np.zeros(0, dtype=bool)
    if len(clipped) < FEWEST_MODELS or not differs.any() or not unit > 0.0:
        middle = float(np.median(clipped)) if len(clipped) else 0.0
        return LevelPrediction(np.full(len(values), middle), np.full(len(values), np.inf), None)
    low = matrix[known].min(axis=0)
    width = np.where(differs, np.ptp(matrix[known], axis=0), np.inf)
    centre = float(clipped.mean())
    inside = (matrix[known] - low) / width
    z = (clipped - centre) / unit
    # What is clipped is known to be bad, however wide its error is.
    z_noise = np.minimum(np.where(np.isfinite(noise[known]), noise[known], 0.0) / unit**2, 1e6)
    ranked = np.lexsort((*inside.T, z))
    if kernel is None:
        chosen = _evenly(ranked, _N_FOR_KERNEL)
        kernel = _fit_kernel(inside[chosen], z[chosen], z_noise[chosen])
    mean, variance, fitted = _leave_one_out(
        inside, z, z_noise, kernel, inside[_evenly(ranked, _N_INDUCING)]
    )
    state = _Fitted(low, width, centre, unit, *fitted)
    all_means, stds = np.empty(len(values)), np.empty(len(values))
    all_means[known] = centre + unit * mean
    stds[known] = unit * np.sqrt(variance)
    if not known.all():
        all_means[~known], unknown = state.predict(matrix[~known], kernel)
        stds[~known] = np.sqrt(unknown)
    return LevelPrediction(all_means, stds, kernel, state)


def _clipped(values: FloatArray) -> FloatArray:
    if not len(values):
        return values
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.zeros(len(values))
    middle = float(np.median(np.minimum(values, finite.max())))
    spread = _MAD_SCALE * float(np.median(middle - values[values <= middle]))
    limit = middle + _CLIPPED * spread if spread > 0.0 else float(finite.max())
    return np.minimum(values, min(limit, float(finite.max())))


def _evenly(ranked: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.intp]:
    if len(ranked) <= n:
        return ranked
    return np.asarray(ranked[np.linspace(0, len(ranked) - 1, n).astype(np.intp)])


def _matern(distance: FloatArray) -> FloatArray:
    """Return the Matérn covariance with smoothness 3/2."""
    scaled = np.sqrt(3.0) * distance
    # Rasmussen & Williams (2006), eq. 4.17.
    return np.asarray((1.0 + scaled) * np.exp(-scaled))


def _fit_kernel(x: FloatArray, z: FloatArray, noise: FloatArray) -> LevelKernel:
    """Return the kernel of greatest posterior density."""
    from scipy import linalg  # noqa: PLC0415
    from scipy import optimize  # noqa: PLC0415

    n, n_features = x.shape
    # Features that take two values have no length.
    long = np.array([len(np.unique(column)) > 2 for column in x.T])
    distances = [np.abs(column[:, None] - column) for column in x.T]
    fixed = {j: _matern(distances[j]) for j in range(n_features) if not long[j]}
    where = np.flatnonzero(long)
    n_lengths = len(where)
    prior = np.array(
        [_LOG_WEIGHT] * n_features + [_LOG_LENGTH] * n_lengths + [_LOG_SCALE, _LOG_OWN]
    )

    def unpack(theta: FloatArray) -> LevelKernel:
        lengths = np.ones(n_features)
        lengths[where] = np.exp(theta[n_features : n_features + n_lengths])
        return LevelKernel(
            np.exp(theta[:n_features]), lengths, float(np.exp(theta[-2])), float(np.exp(theta[-1]))
        )

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        kernel = unpack(theta)
        single = [
            fixed[j] if j in fixed else _matern(distances[j] / kernel.lengths[j])
            for j in range(n_features)
        ]
        covariance = np.full((n, n), kernel.scale)
        for j in range(n_features):
            covariance *= 1.0 + kernel.weights[j] * single[j]
        total = covariance.copy()
        total[np.diag_indices(n)] += noise + kernel.own + _JITTER
        try:
            factor = linalg.cholesky(total, lower=True)
        except linalg.LinAlgError:
            return 1e10, np.zeros(len(theta))
        inverse = linalg.cho_solve((factor, True), np.eye(n))
        alpha = inverse @ z
        gap = (theta - prior[:, 0]) / prior[:, 1]
        # Rasmussen & Williams (2006), eq. 5.8: minus the log marginal likelihood.
        value = 0.5 * float(z @ alpha) + float(np.log(np.diag(factor)).sum())
        # Eq. 5.9: its gradient.
        weight = 0.5 * (inverse - np.outer(alpha, alpha))
        product = weight * covariance
        gradient = gap / prior[:, 1]
        for j in range(n_features):
            each = product / (1.0 + kernel.weights[j] * single[j])
            gradient[j] += kernel.weights[j] * float((each * single[j]).sum())
            if long[j]:
                k = n_features + int(np.searchsorted(where, j))
                scaled = distances[j] / kernel.lengths[j]
                slope = 3.0 * scaled**2 * np.exp(-np.sqrt(3.0) * scaled)
                gradient[k] += kernel.weights[j] * float((each * slope).sum())
        gradient[-2] += float(product.sum())
        gradient[-1] += kernel.own * float(np.trace(weight))
        return value + 0.5 * float(gap @ gap), gradient

    found = optimize.minimize(
        loss,
        prior[:, 0],
        jac=True,
        method="L-BFGS-B",
        bounds=[
            (mean - _MOST_OF_A_LOGARITHM, mean + _MOST_OF_A_LOGARITHM) for mean in prior[:, 0]
        ],
        options={"maxiter": _MOST_ITERATIONS},
    )
    kernel = unpack(found.x)
    return replace(kernel, own=_expected_own(kernel, x, z, noise))


def _expected_own(kernel: LevelKernel, x: FloatArray, z: FloatArray, noise: FloatArray) -> float:
    """Return the expected variance of what features do not tell.

    Its likeliest value is often next to 0 where the data allow for much more.
    """
    from scipy import linalg  # noqa: PLC0415

    covariance = kernel.between(x, x)
    log_density = []
    for own in _OWN_VARIANCES:
        total = covariance.copy()
        total[np.diag_indices(len(z))] += noise + own + _JITTER
        factor = linalg.cholesky(total, lower=True)
        white = linalg.solve_triangular(factor, z, lower=True)
        gap = (np.log(own) - _LOG_OWN[0]) / _LOG_OWN[1]
        log_density.append(
            -0.5 * float(white @ white) - float(np.log(np.diag(factor)).sum()) - 0.5 * gap**2
        )
    density = np.exp(np.array(log_density) - max(log_density))
    return float(density @ _OWN_VARIANCES / density.sum())


def _leave_one_out(
    x: FloatArray,
    z: FloatArray,
    noise: FloatArray,
    kernel: LevelKernel,
    inducing: FloatArray,
) -> tuple[FloatArray, FloatArray, tuple[FloatArray, FloatArray, FloatArray, FloatArray]]:
    """Return predictions from the others, the variances of levels around them, and the process.

    With features phi of the inducing points the process is a ridge regression; what they do not
    tell of a model is noise of its own. The hat matrix gives what is predicted without a model.
    """
    from scipy import linalg  # noqa: PLC0415

    among = kernel.between(inducing, inducing)
    among[np.diag_indices(len(among))] += _JITTER * kernel.itself()
    factor = linalg.cholesky(among, lower=True)
    phi = linalg.solve_triangular(factor, kernel.between(x, inducing).T, lower=True).T
    # Snelson & Ghahramani (2006): the diagonal of what the inducing points do not tell.
    rest = np.maximum(kernel.itself() - (phi**2).sum(axis=1), 0.0)
    total = rest + kernel.own + noise + _JITTER
    information = (phi / total[:, None]).T @ phi
    information[np.diag_indices(len(information))] += 1.0
    posterior_factor = linalg.cholesky(information, lower=True)
    coefficients = linalg.cho_solve((posterior_factor, True), phi.T @ (z / total))
    spread = linalg.solve_triangular(posterior_factor, phi.T, lower=True)
    variance = (spread**2).sum(axis=0)
    leverage = np.minimum(variance / total, 1.0 - 1e-9)
    # Rasmussen & Williams (2006), eq. 5.12, by the hat matrix of the ridge regression.
    mean = (phi @ coefficients - leverage * z) / (1.0 - leverage)
    without = variance / (1.0 - leverage)
    return mean, without + rest + kernel.own, (inducing, factor, posterior_factor, coefficients)
