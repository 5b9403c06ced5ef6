from __future__ import annotations

import numpy as np
import optuna
from optuna.trial import create_trial
from optuna.trial import TrialState

from optuna_robust._search.pruner._finished_trials import FinishedTrials
from optuna_robust.criteria import get_criterion


MEAN = get_criterion("mean")


def trial_with(losses: list[float]) -> optuna.trial.FrozenTrial:
    return create_trial(value=0.0, user_attrs={"robust:losses": losses})


def test_finished_trials_grow_and_scores_follow() -> None:
    study = optuna.create_study()
    finished = FinishedTrials(sign=1)
    rng = np.random.default_rng(0)
    losses = rng.normal(size=(50, 40))
    for row, n in zip(losses, rng.integers(1, 41, size=50), strict=True):
        study.add_trial(trial_with(row[:n].tolist()))
        row[n:] = np.nan
        finished.update(study)
        for instances in ((0,), tuple(range(20))):
            scores = finished.scores(instances, MEAN, recorded=True)
            expected = losses[: len(scores), : len(instances)].mean(axis=1)
            np.testing.assert_allclose(scores, expected)
    assert finished.scores((100,), MEAN, recorded=True).shape == (50,)
    assert np.isnan(finished.scores((100,), MEAN, recorded=True)).all()


def test_incumbent_is_none_without_a_complete_trial() -> None:
    study = optuna.create_study()
    study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={0: 1.0}))
    finished = FinishedTrials(sign=1)
    finished.update(study)
    assert finished.incumbent_losses((0,), MEAN, recorded=False) is None


def test_incumbent_of_a_tie_is_the_earlier_trial() -> None:
    study = optuna.create_study()
    for losses in ([3.0, 1.0], [2.0, 2.0], [1.0, 3.0]):
        study.add_trial(trial_with(losses))
    finished = FinishedTrials(sign=1)
    finished.update(study)
    incumbent = finished.incumbent_losses((0, 1), MEAN, recorded=True)
    assert incumbent is not None
    assert incumbent.tolist() == [3.0, 1.0]
