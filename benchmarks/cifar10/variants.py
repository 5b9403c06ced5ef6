"""The 72 variants of ResNet-18, as a grid and as a search space, and how they are trained.

Which batch sizes, peak learning rates and strengths of the L2 regularisation the paper had is not
published; there are as many here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optuna.trial import BaseTrial

from benchmarks.tasks import Preset


@dataclass(frozen=True)
class Variant:
    """A model: what variants differ in.

    Args:
        batch_size:
            Images of a step.
        peak_rate:
            Highest learning rate of the cycle.
        l2:
            Strength of the L2 regularisation.
    """

    batch_size: int
    peak_rate: float
    l2: float


@dataclass(frozen=True)
class Recipe:
    """What all variants have in common, and what they choose from.

    Args:
        width:
            Channels of the first stage; ResNet-18 has 64.
        n_epochs:
            Of every training.
        batch_sizes:
            To choose from.
        peak_rates:
            To choose from, ascending.
        l2s:
            To choose from, ascending.
    """

    width: int
    n_epochs: int
    batch_sizes: tuple[int, ...]
    peak_rates: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
    l2s: tuple[float, ...] = (1e-4, 2e-4, 5e-4, 1e-3)

    def grid(self) -> dict[str, list[float]]:
        """Return all variants as :func:`~optuna_robust.robust_select` takes them."""
        return {
            "batch_size": list(self.batch_sizes),
            "peak_rate": list(self.peak_rates),
            "l2": list(self.l2s),
        }

    def suggest(self, trial: BaseTrial) -> Variant:
        """Draw a variant, with any learning rate and regularisation within those of the grid."""
        return Variant(
            batch_size=trial.suggest_categorical("batch_size", self.batch_sizes),
            peak_rate=trial.suggest_float(
                "peak_rate", self.peak_rates[0], self.peak_rates[-1], log=True
            ),
            l2=trial.suggest_float("l2", self.l2s[0], self.l2s[-1], log=True),
        )


# Few steps need small batches, and strong regularisation to make a difference.
_FEW_STEPS: Mapping[str, tuple[float, ...]] = {"l2s": (1e-3, 1e-2, 3e-2, 1e-1)}

RECIPES: Mapping[Preset, Recipe] = {
    "quick": Recipe(width=4, n_epochs=12, batch_sizes=(16, 32, 64), **_FEW_STEPS),
    "standard": Recipe(width=8, n_epochs=12, batch_sizes=(16, 32, 64), **_FEW_STEPS),
    "paper": Recipe(width=64, n_epochs=50, batch_sizes=(128, 256, 512)),
}
