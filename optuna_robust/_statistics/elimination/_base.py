"""What elimination rules have in common: decisions, reasons, and who is alive."""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import dataclass
import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arguments import check_count
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.criteria import rank_models


@dataclass(frozen=True)
class Removal:
    """Why a model was removed. Scores are oriented: smaller is better.

    Attributes:
        rule: Name of the rule.
        score: The model's score.
        threshold: Score of the worst model kept (halving), the level alpha (tests), or NaN.
        p_value: p-value against the incumbent; None for rules without a test.
        incumbent: Index of the best model, which the model was compared with.
    """

    rule: str
    score: float
    threshold: float
    p_value: float | None
    incumbent: int

    def __str__(self) -> str:
        """Say it in a line."""
        return self.describe()

    def describe(self, sign: int = 1) -> str:
        """Say it in a line, with scores as the user knows them.

        Args:
            sign:
                -1 if losses were turned round to be minimised, else 1.
        """
        if self.p_value is None:
            score = "no score" if math.isnan(self.score) else f"{sign * self.score:.6g}"
            return f"{self.rule}: {score} is worse than {sign * self.threshold:.6g}"
        return (
            f"{self.rule}: p = {self.p_value:.3g} < {self.threshold:g} "
            f"against model {self.incumbent}"
        )


@dataclass(frozen=True)
class Decision:
    """What a rule decided after a wave.

    Attributes:
        kept: Indices of the models that go on, ascending.
        removed: The models that do not, each with its reason.
        incumbent: Index of the best model before the elimination (lowest index among ties).
        scores: Scores of all models, shape ``(n_models,)``; NaN for those not alive.
        p_values: p-values against the incumbent, shape ``(n_models,)``; NaN without a test.
        next_models: Models that get their next instance, of those kept. None: all of them. Empty:
            the race is over.
        probabilities: Every model's probability of being within the tolerance of the best, shape
            ``(n_models,)``, for rules that tell; else None.
    """

    kept: tuple[int, ...]
    removed: dict[int, Removal]
    incumbent: int
    scores: FloatArray
    p_values: FloatArray
    next_models: tuple[int, ...] | None = None
    probabilities: FloatArray | None = None


class EliminationRule(Protocol):
    """What drives a race needs of a rule."""

    @property
    def name(self) -> str:
        """What users call it."""

    def eliminates_at(self, n_instances: int) -> bool:
        """Return True if models can be removed after this many instances."""

    def eliminate(self, losses: npt.ArrayLike, alive: Iterable[int] | None = None) -> Decision:
        """Decide after a wave; see ``CriterionRule`` for the arguments."""


@dataclass(frozen=True, kw_only=True)
class CriterionRule(ABC):
    """A rule that ranks models by a criterion and starts after a warm-up."""

    criterion: str | Callable[[FloatArray], float] | Criterion = "q3+iqr"
    n_warmup_instances: int = 4
    n_select: int = 1

    def __post_init__(self) -> None:
        get_criterion(self.criterion)
        check_count("n_warmup_instances", self.n_warmup_instances, minimum=0)
        check_count("n_select", self.n_select, minimum=1)

    def eliminates_at(self, n_instances: int) -> bool:
        """Return True if models can be removed after this many instances."""
        return n_instances > self.n_warmup_instances

    def eliminate(self, losses: npt.ArrayLike, alive: Iterable[int] | None = None) -> Decision:
        """Decide which of the models alive go on.

        Args:
            losses:
                Oriented losses of the instances trained so far, shape
                ``(n_models, n_instances)``; NaN = not trained. The number of columns is the
                number of instances that decides on warm-up and rungs.
            alive:
                Indices of the models that are still in; default: all.

        Returns:
            The decision. Models without a score (too few losses) rank last; while no model has
            one, all are kept.

        Raises:
            TypeError: If ``alive`` holds something else than integers.
            ValueError: If there are no models, no instances, or an index is unknown.
        """
        matrix = check_losses(losses)
        models = model_indices(len(matrix), alive)
        scores = np.full(len(matrix), np.nan)
        scores[models] = get_criterion(self.criterion).score(matrix[models])
        ranked = models[rank_models(scores[models])]
        incumbent = int(ranked[0])
        p_values = np.full(len(matrix), np.nan)
        removed: dict[int, Removal] = {}
        if (
            self.eliminates_at(matrix.shape[1])
            and len(models) > self.n_select
            and not np.isnan(scores[incumbent])
        ):
            removed = self._removals(matrix, ranked, scores, p_values)
        kept = tuple(int(model) for model in models if model not in removed)
        return Decision(kept, removed, incumbent, scores, p_values)

    @abstractmethod
    def _removals(
        self,
        losses: FloatArray,
        ranked: npt.NDArray[np.intp],
        scores: FloatArray,
        p_values: FloatArray,
    ) -> dict[int, Removal]:
        """Return the models to remove of those ``ranked`` best first; fills ``p_values``."""


def check_losses(losses: npt.ArrayLike) -> FloatArray:
    """Return the losses matrix.

    Raises:
        ValueError: If it is none, or empty.
    """
    matrix = np.asarray(losses, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(
            "losses must have the shape (n_models, n_instances) with at least one of each, "
            f"but had {matrix.shape}."
        )
    return matrix


def model_indices(n_models: int, alive: Iterable[int] | None) -> npt.NDArray[np.intp]:
    """Return the indices of the models alive, ascending; all if it is None.

    Raises:
        TypeError: If one is no integer.
        ValueError: If there are none, or one is unknown.
    """
    if alive is None:
        return np.arange(n_models)
    models = list(alive)
    for model in models:
        check_count("alive", model, minimum=0)
    if not models or max(models) >= n_models:
        raise ValueError(f"alive must hold indices of the {n_models} models, but was {models}.")
    return np.unique(np.array(models, dtype=np.intp))
