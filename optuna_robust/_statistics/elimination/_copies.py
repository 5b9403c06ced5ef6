"""Models that are the same: their losses are equal in every instance that both were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
import math

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.elimination._base import Decision
from optuna_robust._statistics.elimination._base import Removal
from optuna_robust._statistics.elimination._removals import NoDifference


def find_copies(
    losses: FloatArray, alive: npt.NDArray[np.intp], *, n_originals: int, level: float
) -> dict[int, tuple[int, int]]:
    """Return the models that are copies of others.

    Losses that are rounded may be equal by chance. How often a model's own losses are equal says
    how likely that is.

    Args:
        losses:
            Shape ``(n_models, n_instances)``, with common instances in the columns; NaN = not
            trained.
        alive:
            Indices of the models that are still in; one of these is the original, if there is one.
        n_originals:
            How many models with the same losses are kept.
        level:
            Most models, on average, that may be taken for copies by chance.

    Returns:
        For every copy its original, and the number of instances in which they are equal.
    """
    candidates = _groups(losses, alive)
    if not candidates:
        return {}
    chance = _chance_of_equal(np.delete(losses, [i for group in candidates for i in group[1:]], 0))
    found = {}
    for group in candidates:
        originals: list[int] = []
        for model in group:
            shared = [_n_equal(losses[model], losses[original]) for original in originals]
            if len(originals) >= n_originals and len(losses) * chance ** max(shared) <= level:
                closest = int(np.argmax(shared))
                found[model] = originals[closest], shared[closest]
            elif not shared or max(shared):
                originals.append(model)
    return found


def with_copies(
    decision: Decision,
    rows: npt.NDArray[np.intp],
    copies: Mapping[int, tuple[int, int]],
    losses: FloatArray,
    alive: npt.NDArray[np.intp],
    *,
    name: str,
    n_select: int,
) -> Decision:
    """Return a decision on all models, of which copies wait until the others are decided on.

    What seldom happens, such as a diverging training, may tell a copy from its original later. So
    copies stay, but get no instances, until the race would be over. Those that then have fewer
    instances than their original get them, and are dropped only if they are still the same.

    Args:
        decision:
            On the models without their copies.
        rows:
            Indices of these models among all.
        copies:
            What :func:`find_copies` returned.
        losses:
            Of all models.
        alive:
            Indices of the models that are still in.
        name:
            Name of the rule.
        n_select:
            How many models are selected.
    """
    n_models = len(losses)
    scores, probabilities = np.full((2, n_models), np.nan)
    scores[rows] = decision.scores
    if len(rows) == 1:
        probabilities[rows] = 1.0
    elif decision.probabilities is not None:
        probabilities[rows] = decision.probabilities
    incumbent = int(rows[decision.incumbent])
    removed: dict[int, Removal] = {
        int(rows[row]): replace(removal, incumbent=int(rows[removal.incumbent]))
        for row, removal in decision.removed.items()
    }
    n_trained = np.count_nonzero(~np.isnan(losses), axis=1)
    waiting = {copy: copies[copy] for copy in copies if copy in alive}
    behind = [
        copy for copy, (original, _) in waiting.items() if n_trained[copy] < n_trained[original]
    ]
    next_models = tuple(int(rows[row]) for row in decision.next_models or ())
    if len(decision.kept) <= n_select:  # nothing is left to tell apart
        next_models = ()
    for copy, (original, n_equal) in waiting.items():
        probabilities[copy], scores[copy] = probabilities[original], scores[original]
        if not next_models and copy not in behind:
            removed[copy] = NoDifference(
                name, float(scores[copy]), math.nan, None, incumbent, original, n_equal
            )
    return Decision(
        tuple(int(model) for model in alive if model not in removed),
        dict(sorted(removed.items())),
        incumbent,
        scores,
        np.full(n_models, np.nan),
        next_models or tuple(behind),
        probabilities,
    )


def _groups(losses: FloatArray, alive: npt.NDArray[np.intp]) -> list[list[int]]:
    """Return groups of models whose first two losses are equal, those alive first."""
    if losses.shape[1] < 2:
        return []
    trained = np.flatnonzero(np.isfinite(losses[:, :2]).all(axis=1))
    _, group = np.unique(losses[trained, :2], axis=0, return_inverse=True)
    group = group.ravel()  # NumPy 2.0 has a second axis
    is_alive = np.isin(trained, alive)
    groups: dict[int, list[int]] = {}
    for row in np.lexsort((trained, ~is_alive)):
        groups.setdefault(int(group[row]), []).append(int(trained[row]))
    return [members for members in groups.values() if len(members) > 1]


def _n_equal(one: FloatArray, other: FloatArray) -> int:
    """Return in how many instances two models are equal; 0 if they differ in one."""
    both = ~np.isnan(one) & ~np.isnan(other)
    if not np.array_equal(one[both], other[both]):
        return 0
    return int(np.count_nonzero(np.isfinite(one[both])))


def _chance_of_equal(losses: FloatArray) -> float:
    """Return how often two losses of one model are equal, counting one more than were seen."""
    n_pairs = n_equal = 1
    for lag in range(1, losses.shape[1]):
        first, second = losses[:, :-lag], losses[:, lag:]
        n_pairs += int(np.count_nonzero(np.isfinite(first) & np.isfinite(second)))
        n_equal += int(np.count_nonzero(np.isfinite(first) & (first == second)))
    return n_equal / n_pairs
