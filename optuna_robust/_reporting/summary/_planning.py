"""What differences of models the instances of a study can show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple
from typing import TYPE_CHECKING

import numpy as np

from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances import trials
from optuna_robust._statistics.comparison import detectable_effect
from optuna_robust._statistics.comparison import required_instances
from optuna_robust._statistics.criteria import CRITERIA


if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


# The best trials; by a criterion with spread they are quieter than others.
_N_PILOT = 50


class Leaders(NamedTuple):
    """What it takes to tell the two best trials apart.

    Attributes:
        numbers: Numbers of the two trials.
        difference: By how much their values differ.
        n_instances: Instances of each that show such a difference in 4 of 5 cases; None if more
            than anybody trains, or if they do not differ.
    """

    numbers: tuple[int, int]
    difference: float
    n_instances: int | None


class Pilot(NamedTuple):
    """The losses that tell the noise.

    Attributes:
        losses: Those of the best trials, shape ``(n_models, n_instances)``; NaN = not trained.
        criterion: Name of the criterion.
        common_instances: Whether instance j is the same for all models.
    """

    losses: FloatArray
    criterion: str
    common_instances: bool

    def detectable(self) -> float | None:
        """Return the least difference that is likely to be shown; None if that is not known."""
        try:
            return detectable_effect(
                self.losses,
                self.losses.shape[1],
                criterion=self.criterion,
                common_instances=self.common_instances,
            )
        except ValueError:  # too few losses, or all are alike
            return None

    def leaders(self, best: Sequence[FrozenTrial]) -> Leaders | None:
        """Return what it takes to tell the two best trials apart; None if that is not known.

        Args:
            best:
                The best trials, the best first; of these, two.
        """
        if len(best) < 2 or self.detectable() is None:
            return None
        difference = abs(best[0].values[0] - best[1].values[0])
        if not np.isfinite(difference):
            return None
        return Leaders((best[0].number, best[1].number), difference, self._required(difference))

    def _required(self, difference: float) -> int | None:
        if difference == 0.0:
            return None
        try:
            return required_instances(
                self.losses,
                difference,
                criterion=self.criterion,
                common_instances=self.common_instances,
            )
        except ValueError:  # more than anybody trains
            return None


def pilot_of(best: Sequence[FrozenTrial], settings: dict[str, Any]) -> Pilot | None:
    """Return the losses that tell the noise of a study; None if it has none.

    Args:
        best:
            Its best trials, the best first.
        settings:
            What its losses depend on.
    """
    recorded = [
        trials.oriented_losses(trial, sign=1)
        for trial in best[:_N_PILOT]
        if trials.is_recorded(trial)
    ]
    criteria, n_wanted = settings.get("criterion", []), settings.get("n_instances")
    if len(criteria) != 1 or criteria[0] not in CRITERIA or not recorded or n_wanted is None:
        return None
    losses = np.full((len(recorded), n_wanted), np.nan)
    for row, known in zip(losses, recorded, strict=True):
        for number, loss in known.items():
            if number < n_wanted:
                row[number] = loss
    return Pilot(losses, criteria[0], not settings.get("reshuffle", False))
