from __future__ import annotations

import optuna
from optuna.trial import create_trial
from optuna.trial import TrialState

from optuna_robust import InstanceStore
from optuna_robust.summary import study_report
from tests.searches import robust_study


def test_instances_are_counted_by_what_became_of_them() -> None:
    study = optuna.create_study()
    study.set_user_attr("robust:settings", {"n_instances": 4, "criterion": ["mean"]})
    failures = {"robust:failures": {"1": "ValueError: no"}}
    for state, attrs in (
        (TrialState.COMPLETE, {"robust:losses": [1.0, "worst", 2.0, 3.0]} | failures),
        (TrialState.FAIL, {"robust:losses": [1.0, "worst"]} | failures),  # the next goes on
        (TrialState.PRUNED, {"robust:losses": [4.0, "worst", 5.0]} | failures),
    ):
        value = 2.0 if state == TrialState.COMPLETE else None
        study.add_trial(create_trial(state=state, value=value, user_attrs=attrs))
    continues = {"robust:continues": 1, "robust:n_reused": 2, "robust:losses": [6.0, "worst", 7.0]}
    study.add_trial(create_trial(state=TrialState.PRUNED, user_attrs=continues | failures))
    found = study_report(study, n_trials=5)
    assert (found.n_trainings, found.n_reused, found.n_failures) == (4 + 3 + 1, 2, 3)
    assert found.n_unpruned == 12
    told = found.to_dict()
    assert (told["n_trainings"], told["n_reused"], told["n_failures"]) == (8, 2, 3)


def test_what_a_store_gave_is_not_trained() -> None:
    store = InstanceStore()
    first = study_report(robust_study(store=store, confirmed=False), n_trials=3)
    again = study_report(robust_study(store=store, confirmed=False), n_trials=3)
    assert (first.n_reused, again.n_trainings) == (0, 0)
    assert again.n_reused == first.n_trainings > 12
    assert again.n_failures == first.n_failures


def test_the_top_of_a_report_is_the_best() -> None:
    found = study_report(robust_study(confirmed=False), n_trials=4)
    assert [trial.number for trial in found.top(2).best] == [
        trial.number for trial in found.best[:2]
    ]
    assert found.top(2).n_best == found.n_best > 2
