"""Statistics of a losses matrix that models are ranked by.

Every criterion is minimised. A study that maximises passes ``-losses`` in and negates what comes
out: ``sign * c(sign * losses)``. Nothing in this module knows about directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math
from typing import Literal
from typing import TypeAlias
import warnings

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arrays import FloatArray


Kind: TypeAlias = Literal["level", "spread", "mixed", "custom"]

# Relative distance below which two values are the same value.
_TIE_TOLERANCE = 1e-12
# Makes the median absolute deviation estimate the standard deviation of a normal distribution.
_MAD_SCALE = 1.4826
_CVAR_SHARE = 0.25


@dataclass(frozen=True)
class Criterion:
    """A statistic of a model's losses; the smaller, the better the model.

    Args:
        name:
            What users call it.
        statistic:
            Maps losses ``(n_models, n)`` without NaN, in the order of the instances, to values
            ``(n_models,)``.
        kind:
            ``"level"`` (where the losses lie), ``"spread"`` (how wide they are), ``"mixed"``
            (both) or ``"custom"`` (a user's callable).
        min_instances:
            Fewest instances that give a value; with fewer the value is NaN.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.criteria import get_criterion
        >>> losses = np.array([[0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.3, 0.4, np.nan, np.nan]])
        >>> get_criterion("q3+iqr")(losses).round(3)
        array([0.6, 0.4])
    """

    name: str
    statistic: Callable[[FloatArray], FloatArray]
    kind: Kind = "custom"
    min_instances: int = 1

    def __call__(self, losses: npt.ArrayLike) -> FloatArray:
        """Return the criterion of every model.

        Args:
            losses:
                Losses to be minimised, shape ``(..., n_instances)``; NaN = not trained.

        Returns:
            Values of shape ``(...)``. NaN where fewer than ``min_instances`` losses are there.
            Infinite losses are losses like others: a statistic that they leave undefined
            (infinity minus infinity) is ``+inf``, the worst.
        """
        matrix = np.atleast_1d(np.asarray(losses, dtype=np.float64))
        if matrix.ndim == 1:
            return self._of_one(matrix)
        rows = matrix.reshape(math.prod(matrix.shape[:-1]), matrix.shape[-1])
        values = np.full(len(rows), np.nan)
        missing = np.isnan(rows)
        counts = rows.shape[1] - np.count_nonzero(missing, axis=1)
        if missing.any():
            rows = np.take_along_axis(rows, np.argsort(missing, axis=1, kind="stable"), axis=1)
        for n in np.unique(counts[counts >= max(1, self.min_instances)]):
            chosen = counts == n
            values[chosen] = self._defined(rows[chosen, :n])
        return values.reshape(matrix.shape[:-1])

    def _of_one(self, losses: FloatArray) -> FloatArray:
        """Return the criterion of one model, as a study asks for it after every instance."""
        missing = np.isnan(losses)
        trained = losses[~missing] if missing.any() else losses
        if len(trained) < max(1, self.min_instances):
            return np.array(np.nan)
        return np.array(self._defined(trained[None])[0])

    def _defined(self, trained: FloatArray) -> FloatArray:
        """Return the statistic of models with equally many losses, without missing ones."""
        with np.errstate(invalid="ignore", over="ignore"):
            found = self.statistic(trained)
        if not np.isnan(found).any():
            return found
        return np.where(np.isnan(found) & np.isinf(trained).any(axis=1), np.inf, found)

    def score(self, losses: npt.ArrayLike) -> FloatArray:
        """Return what models are ranked by: the criterion, with one exception.

        A spread of two or more identical losses is ``+inf`` instead of 0: an objective that fixes
        its own seed says nothing about its spread, and must not win as perfectly stable.

        Args:
            losses:
                As for calling the criterion.
        """
        values = self(losses)
        if self.kind != "spread":
            return values
        return np.where(identical(losses), np.inf, values)


def identical(losses: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Tell which models have two or more losses that are all the same finite value.

    Args:
        losses:
            Losses of shape ``(..., n_instances)``; NaN = not trained.

    Returns:
        Booleans of shape ``(...)``.
    """
    matrix = np.atleast_1d(np.asarray(losses, dtype=np.float64))
    trained = ~np.isnan(matrix)
    low = np.where(trained, matrix, np.inf).min(axis=-1, initial=np.inf)
    high = np.where(trained, matrix, -np.inf).max(axis=-1, initial=-np.inf)
    same: npt.NDArray[np.bool_] = (low == high) & np.isfinite(low) & (trained.sum(axis=-1) >= 2)
    return same


def get_criterion(criterion: str | Callable[[FloatArray], float] | Criterion) -> Criterion:
    """Return a criterion by its name, or make one of a callable.

    Args:
        criterion:
            One of ``mean``, ``median``, ``q3``, ``max``, ``min``, ``cvar`` (level), ``std``,
            ``iqr``, ``mad`` (spread), ``q3+iqr``, ``mean+std`` (both); a callable that maps one
            model's losses ``(n,)``, oriented so that smaller is better, to a float that is
            minimised (NaN: not defined yet), and may have an attribute ``min_instances``; or a
            :class:`Criterion`.

            ``std`` has ``ddof=1``, quantiles are NumPy's default (Hyndman & Fan 1996, type 7),
            ``mad`` is the median absolute deviation times 1.4826, and ``cvar`` is the mean of the
            worst 25 %, a fraction of an instance counted as such (Rockafellar & Uryasev 2002,
            proposition 8).

    Raises:
        ValueError: If the name is unknown.
        TypeError: If it is neither a name nor callable.

    Example:
        >>> from optuna_robust.criteria import get_criterion
        >>> float(get_criterion("cvar")([1.0, 2.0, 3.0, 4.0, 5.0]))
        4.8
        >>> float(get_criterion(lambda losses: losses.max() - losses.min())([1.0, 2.0, 4.0]))
        3.0
    """
    if isinstance(criterion, Criterion):
        return criterion
    if isinstance(criterion, str):
        if criterion not in CRITERIA:
            raise ValueError(
                f"criterion={criterion!r} is unknown; choose one of {', '.join(CRITERIA)}, "
                "or pass a callable."
            )
        return CRITERIA[criterion]
    if callable(criterion):
        return Criterion(
            getattr(criterion, "__name__", type(criterion).__name__),
            _RowByRow(criterion),
            min_instances=getattr(criterion, "min_instances", 1),
        )
    raise TypeError(
        f"criterion must be a name or a callable, but was {criterion!r} "
        f"of type {type(criterion).__name__}."
    )


def check_min_instances(criterion: Criterion, n_instances: int) -> None:
    """Check that so many instances give a criterion a value.

    Raises:
        TypeError: If it is a callable that does not return a number.
        ValueError: If they do not.
    """
    if criterion.min_instances > n_instances:
        raise ValueError(
            f"n_instances={n_instances} is too few for criterion {criterion.name!r}, which needs "
            f"{criterion.min_instances}."
        )
    if isinstance(criterion.statistic, _RowByRow):
        criterion.statistic.check(n_instances)


def warn_of_luck(criterion: Criterion, *, stacklevel: int = 3) -> None:
    """Warn if models would be ranked by the best of their instances.

    Args:
        criterion:
            What models are ranked by.
        stacklevel:
            As for :func:`warnings.warn`, seen from this function.
    """
    if criterion == CRITERIA["min"]:
        warnings.warn(
            "criterion='min' ranks models by the best of their instances (the largest value, if "
            "the study maximises): that crowns the luckiest model, not a robust one. The worst of "
            "them is 'max', in either direction.",
            stacklevel=stacklevel,
        )


def rank_models(scores: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Return the indices of models from best to worst.

    Scores within 1e-12 relative of their neighbour are tied, and the lower index comes first; NaN
    comes last.

    Args:
        scores:
            Values to be minimised, shape ``(n_models,)``.

    Example:
        >>> from optuna_robust.criteria import rank_models
        >>> rank_models([0.2, 0.1, 0.1 + 1e-15]).tolist()
        [1, 2, 0]
    """
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    tie_groups = np.empty(len(values), dtype=np.intp)
    tie_groups[order] = np.cumsum(_differs_from_previous(values[order]))
    return np.lexsort((np.arange(len(values)), tie_groups))


def is_better(score: npt.ArrayLike, than: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Tell where one score is better (smaller) than another by more than a tie; broadcasts."""
    a, b = np.broadcast_arrays(
        np.asarray(score, dtype=np.float64), np.asarray(than, dtype=np.float64)
    )
    with np.errstate(invalid="ignore"):
        gap = _TIE_TOLERANCE * np.maximum(np.abs(a), np.abs(b))
        better: npt.NDArray[np.bool_] = np.where(np.isfinite(gap), b - a > gap, a < b)
    return better


def _differs_from_previous(ordered: FloatArray) -> npt.NDArray[np.bool_]:
    both_nan = np.isnan(ordered[1:]) & np.isnan(ordered[:-1])
    starts_nan = np.isnan(ordered[1:]) & ~np.isnan(ordered[:-1])
    rises = is_better(ordered[:-1], ordered[1:])
    return np.concatenate([[False], (rises | starts_nan) & ~both_nan])


@dataclass(frozen=True)
class _RowByRow:
    """Applies a user's function of one model's losses to a matrix (a class: it pickles)."""

    function: Callable[[FloatArray], float]

    def __call__(self, losses: FloatArray) -> FloatArray:
        return np.array([self._number(self.function(row)) for row in losses])

    def check(self, n_instances: int) -> None:
        """Check that the function returns a number, before anything is trained.

        Raises:
            TypeError: If it does not, for losses that are made up.
        """
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = self.function(np.linspace(0.1, 1.0, n_instances))
        except Exception:  # made-up losses may not be such as it expects
            return
        self._number(value)

    def _number(self, value: object) -> float:
        try:
            if isinstance(value, (str, bytes)):
                raise TypeError
            return float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            name = getattr(self.function, "__name__", type(self.function).__name__)
            raise TypeError(
                f"criterion {name!r} must return a number (NaN where it is not defined), but "
                f"returned {value!r} of type {type(value).__name__}."
            ) from None


def _quantiles(losses: FloatArray, *shares: float) -> list[FloatArray]:
    # np.quantile gives NaN where it weights an infinite loss with zero.
    ordered = np.sort(losses, axis=1)
    values = []
    for share in shares:
        # Hyndman & Fan (1996), definition 7.
        position = share * (ordered.shape[1] - 1)
        below = int(position)
        weight = position - below
        low = ordered[:, below]
        if not weight:
            values.append(low)
            continue
        high = ordered[:, below + 1]
        value = low + (high - low) * weight
        # Infinity minus infinity.
        values.append(np.where(low == high, low, value) if np.isnan(value).any() else value)
    return values


def _mean(losses: FloatArray) -> FloatArray:
    return np.asarray(losses.mean(axis=1))


def _median(losses: FloatArray) -> FloatArray:
    return _quantiles(losses, 0.5)[0]


def _q3(losses: FloatArray) -> FloatArray:
    return _quantiles(losses, 0.75)[0]


def _max(losses: FloatArray) -> FloatArray:
    return np.asarray(losses.max(axis=1))


def _min(losses: FloatArray) -> FloatArray:
    return np.asarray(losses.min(axis=1))


def _cvar(losses: FloatArray) -> FloatArray:
    n = losses.shape[1]
    # Rockafellar & Uryasev (2002), proposition 8.
    tail = _CVAR_SHARE * n
    weights = np.clip(tail - np.arange(math.ceil(tail)), 0.0, 1.0) / tail
    worst_first = -np.sort(-losses, axis=1)[:, : len(weights)]
    return np.asarray(worst_first @ weights)


def _std(losses: FloatArray) -> FloatArray:
    return np.asarray(losses.std(axis=1, ddof=1))


def _iqr(losses: FloatArray) -> FloatArray:
    q1, q3 = _quantiles(losses, 0.25, 0.75)
    return q3 - q1


def _mad(losses: FloatArray) -> FloatArray:
    # Hampel (1974).
    return _MAD_SCALE * _median(np.abs(losses - _median(losses)[:, None]))


def _q3_plus_iqr(losses: FloatArray) -> FloatArray:
    q1, q3 = _quantiles(losses, 0.25, 0.75)
    return q3 + (q3 - q1)


def _mean_plus_std(losses: FloatArray) -> FloatArray:
    return _mean(losses) + _std(losses)


CRITERIA: dict[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        Criterion("mean", _mean, "level"),
        Criterion("median", _median, "level"),
        Criterion("q3", _q3, "level"),
        Criterion("q3+iqr", _q3_plus_iqr, "mixed", 2),
        Criterion("max", _max, "level"),
        Criterion("min", _min, "level"),
        Criterion("std", _std, "spread", 2),
        Criterion("iqr", _iqr, "spread", 2),
        Criterion("mad", _mad, "spread", 2),
        Criterion("cvar", _cvar, "level"),
        Criterion("mean+std", _mean_plus_std, "mixed", 2),
    )
}
