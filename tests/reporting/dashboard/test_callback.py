from __future__ import annotations

from typing import Any

import optuna
from optuna_dashboard import get_note
import pytest

import optuna_robust as opr


def noisy(trial: optuna.Trial, instance: opr.Instance) -> float:
    return trial.suggest_float("x", -1, 1) ** 2 + float(instance.rng.normal())


def optimize(study: optuna.Study, n_trials: int, every: int, seen: list[bool]) -> None:
    def look(study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
        seen.append(f"Trials: {len(study.trials)} complete" in get_note(study))

    callbacks = [opr.dashboard.PublishCallback(every), look]
    study.optimize(
        opr.MultiInstanceObjective(noisy, n_instances=2), n_trials=n_trials, callbacks=callbacks
    )


def test_a_study_is_published_after_every_so_many_trials() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen: list[bool] = []
    optimize(study, 5, 2, seen)
    assert seen == [False, True, False, True, False]
    optimize(study, 1, 2, seen)
    assert seen[-1]


def test_a_search_goes_on_if_it_cannot_be_published(caplog: pytest.LogCaptureFixture) -> None:
    class Full(optuna.storages.InMemoryStorage):
        def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
            raise OSError("no space left on device")

    study = optuna.create_study(storage=Full())
    optimize(study, 3, 1, [])
    assert len(study.trials) == 3
    assert caplog.text.count("The study is not published after trial") == 3
    assert "no space left on device" in caplog.text


@pytest.mark.parametrize(
    ("n_trials", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_bad_numbers_are_errors(n_trials: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="n_trials must be"):
        opr.dashboard.PublishCallback(n_trials)
