"""One experiment, one objective."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
import warnings

import optuna
import pytest

import optuna_robust as opr
from optuna_robust import Instance


def squared(trial: optuna.Trial, instance: Instance) -> float:
    return trial.suggest_float("x", 0, 1) ** 2 + 0.1 * float(instance.rng.normal())


def cubed(trial: optuna.Trial, instance: Instance) -> float:
    return trial.suggest_float("x", 0, 1) ** 3 + 0.1 * float(instance.rng.normal())


def _select(objective: Callable[..., Any], store: opr.InstanceStore) -> object:
    return opr.robust_select(objective, {"x": [0.1, 0.5]}, n_instances=3, store=store)


def _search(objective: Callable[..., Any], store: opr.InstanceStore) -> object:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    robust = opr.MultiInstanceObjective(objective, n_instances=2, store=store)
    return study.optimize(robust, n_trials=1)


def _confirm(objective: Callable[..., Any], store: opr.InstanceStore) -> object:
    study = optuna.create_study()
    study.enqueue_trial({"x": 0.5})
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    return opr.confirm(study, objective, n_instances=4, store=store)


@pytest.mark.parametrize("train", [_select, _search, _confirm])
def test_another_objective_in_one_experiment_warns(
    tmp_path: Path, train: Callable[[Callable[..., Any], opr.InstanceStore], object]
) -> None:
    url = f"sqlite:///{tmp_path / 'robust.db'}"
    train(squared, opr.InstanceStore(url))
    train(squared, opr.InstanceStore(url))
    with pytest.warns(UserWarning, match="trained by the objective 'squared', not by 'cubed'"):
        train(cubed, opr.InstanceStore(url))
    train(cubed, opr.InstanceStore(url, "another"))
    train(squared, opr.InstanceStore(url))


def test_a_confirmation_may_have_an_objective_of_its_own(
    recwarn: pytest.WarningsRecorder,
) -> None:
    store = opr.InstanceStore()
    _select(squared, store)
    _confirm(cubed, store)
    assert not any("were trained by the objective" in str(each.message) for each in recwarn)


def _versions() -> list[Callable[..., Any]]:
    """The same name, other code."""
    source = (
        "def objective(trial, instance):\n"
        "    return trial.suggest_float('x', 0, {high}) + float(instance.rng.normal())\n"
    )
    found = []
    for high in (1, 2):
        module: dict[str, Any] = {"__name__": "train"}
        exec(source.format(high=high), module)
        found.append(module["objective"])
    return found


def test_changed_code_warns_unless_a_version_vouches_for_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'robust.db'}"
    before, after = _versions()
    _select(before, opr.InstanceStore(url))
    with pytest.warns(UserWarning, match="'objective', but its code has changed"):
        _select(after, opr.InstanceStore(url))
    for objective in (before, after):
        _select(objective, opr.InstanceStore(url, "tagged", version="1"))
    with pytest.warns(UserWarning, match="not by 'squared'"):
        _select(squared, opr.InstanceStore(url, "tagged", version="1"))


def test_the_settings_are_as_they_were(tmp_path: Path) -> None:
    store = opr.InstanceStore()
    _select(squared, store)
    assert store.settings() == {"seed": 0, "vary": ["init", "order", "sample"]}
    pytest.importorskip("h5py")
    n_exported = store.export_hdf5(tmp_path / "store.h5")
    other = opr.InstanceStore()
    assert other.import_hdf5(tmp_path / "store.h5") == n_exported
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _select(cubed, other)  # whose they are is not known


def test_an_objective_that_finished_nothing_is_forgotten() -> None:
    def fails(trial: optuna.Trial, instance: Instance) -> float:
        raise ZeroDivisionError

    store = opr.InstanceStore()
    with pytest.raises(ZeroDivisionError):
        _select(fails, store)
    _select(squared, store)
    with pytest.warns(UserWarning, match="not by 'cubed'"):
        _select(cubed, store)
