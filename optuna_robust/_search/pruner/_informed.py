"""What the hyperparameters of finished trials say on those of a trial in hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math
from typing import Any
from typing import TYPE_CHECKING

import numpy as np
from optuna.trial import TrialState

from optuna_robust._instances.trials import continued_numbers
from optuna_robust._instances.trials import is_feasible
from optuna_robust._instances.trials import is_recorded
from optuna_robust._instances.trials import losses_matrix
from optuna_robust._statistics.comparison import completed_criterion
from optuna_robust._statistics.comparison import CriterionPosterior
from optuna_robust._statistics.comparison import fit_encoding
from optuna_robust._statistics.comparison import fit_informed_levels
from optuna_robust._statistics.comparison import ModelEncoding
from optuna_robust._statistics.comparison import RandomLevels
from optuna_robust._statistics.comparison import tells_noise
from optuna_robust._statistics.comparison import updated_levels
from optuna_robust._statistics.criteria import Criterion


if TYPE_CHECKING:
    from optuna.study import Study


# The latest trials inform: so many bound the cost of a fit.
_N_TRIALS = 256
# A trial that beats all that are like it may be the best.
_MOST_INFORMED = 0.5
# A fit is kept until there are so many times the trials that it knows.
_GROWTH = 1.1


@dataclass(frozen=True)
class InformedTrials:
    """A fit of finished trials, kept for many decisions.

    Attributes:
        n_finished: How many feasible trials had finished.
        numbers: Instance numbers, the columns of the fit.
        encoding: Of the trials' hyperparameters.
        fit: Of their losses; None if they do not tell the noise, or hyperparameters nothing.
    """

    n_finished: int
    numbers: tuple[int, ...]
    encoding: ModelEncoding
    fit: RandomLevels | None

    def is_out_of_date(self, n_finished: int) -> bool:
        """Return True if so many more trials have finished that a new fit is due."""
        return n_finished >= math.ceil(_GROWTH * self.n_finished)

    def posterior(
        self,
        params: Mapping[str, Any],
        losses: Mapping[int, float],
        criterion: Criterion,
        n_instances: int,
    ) -> CriterionPosterior | None:
        """Return the criterion of a trial, and that of a trial that nobody knows; None: unknown.

        Args:
            params:
                The trial's hyperparameters.
            losses:
                Its oriented losses by instance number.
            criterion:
                Of which statistic.
            n_instances:
                How many instances a trial shall have.
        """
        if self.fit is None or any(number not in self.numbers for number in losses):
            return None
        rows = np.full((2, len(self.numbers)), np.nan)
        rows[0] = [losses.get(number, math.nan) for number in self.numbers]
        features = np.full((2, self.encoding.n_features), np.nan)
        features[0] = self.encoding.encode([params])[0]
        n_known = len(self.fit.means)
        prediction = None if self.fit.prediction is None else self.fit.prediction.of(features)
        levels = updated_levels(self.fit, rows, [n_known, n_known + 1], prediction=prediction)
        return completed_criterion(levels, rows, criterion, n_instances)


def inform(
    study: Study, n_finished: int, sign: int, *, recorded: bool, common_instances: bool
) -> InformedTrials:
    """Return a fit of the study's latest finished trials.

    Args:
        study:
            The study.
        n_finished:
            How many feasible trials with losses have finished.
        sign:
            -1 if losses are maximised, else 1.
        recorded:
            Whether only trials with recorded losses count.
        common_instances:
            Whether instance j is the same for all trials.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    continued = continued_numbers(finished)  # whose losses later trials of their models have
    known = [
        trial
        for trial in finished
        if (is_recorded(trial) or not recorded)
        and trial.number not in continued
        and is_feasible(trial)
    ][-_N_TRIALS:]
    params = [trial.params for trial in known]
    encoding = fit_encoding(params, [trial.distributions for trial in known])
    numbers, losses = losses_matrix(known, sign)
    fit = None
    if encoding.n_features and tells_noise(losses, common_instances=common_instances):
        levels = fit_informed_levels(
            losses,
            encoding.encode(params),
            common_instances=common_instances,
            most_informed=_MOST_INFORMED,
        )
        fit = levels if levels.prediction is not None else None
    return InformedTrials(n_finished, numbers, encoding, fit)
