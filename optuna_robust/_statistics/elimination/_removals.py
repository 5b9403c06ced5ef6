"""Why a race drops a model."""

from __future__ import annotations

from dataclasses import dataclass

from optuna_robust._statistics.elimination._base import Removal


@dataclass(frozen=True)
class UnlikelyBest(Removal):
    """Why a race dropped a model.

    Attributes:
        probability: That the model is within the tolerance of the best; what was lost with all
            the models that were dropped is bounded by alpha.
        tolerance: The tolerance.
    """

    probability: float
    tolerance: float

    def describe(self, sign: int = 1) -> str:
        """Say it in a line."""
        if self.probability > 0.5:  # as good as the best, as far as anybody can tell
            return f"{self.rule}: no better than model {self.incumbent}"
        best = f"within {self.tolerance:g} of the best" if self.tolerance > 0.0 else "the best"
        return f"{self.rule}: {best} with probability {self.probability:.2g}"


@dataclass(frozen=True)
class NoDifference(Removal):
    """Why a race dropped a model: nothing tells it from another one.

    Attributes:
        original: Index of the model that it has the losses of.
        n_instances: Number of instances in which they are equal.
    """

    original: int
    n_instances: int

    def describe(self, sign: int = 1) -> str:
        """Say it in a line."""
        return (
            f"{self.rule}: no difference from model {self.original} can be shown, the losses of "
            f"{self.n_instances} instances are the same"
        )
