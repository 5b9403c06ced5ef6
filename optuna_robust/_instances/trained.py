"""An instance that is there."""

from __future__ import annotations

from dataclasses import dataclass

from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Outcome


@dataclass(frozen=True)
class Trained:
    """An instance that is there.

    Attributes:
        job: Which.
        outcome: What came of it.
        reused: Whether this pool did not train it.
    """

    job: Job
    outcome: Outcome
    reused: bool
