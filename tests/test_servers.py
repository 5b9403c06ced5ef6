"""Databases that processes share: searches, selections, long attributes, a server's death."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
import time

import numpy as np
import optuna
import pytest

from benchmarks import servers
import optuna_robust as opr
from optuna_robust._instances.trials import n_spent_by
from optuna_robust._reporting.summary import study_report
from optuna_robust._search.model_record import ModelRecord
from tests.conftest import new_database
from tests.conftest import SERVERS
from tests.search.sampler.searches import sampler_of
from tests.training_log import assert_only_the_killed_were_trained_again
from tests.training_log import begin_script
from tests.training_log import Logged
from tests.training_log import PATIENCE
from tests.training_log import wait_until


N_INSTANCES, N_PROCESSES = 4, 4

SEARCH = """
import sys
from tests.test_servers import search
search(*sys.argv[1:4], int(sys.argv[4]))
"""


@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.slow), *SERVERS])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database that processes can share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'robust.db'}"
    return new_database(request.param)


def make_study(url: str, seed: int | None = None) -> optuna.Study:
    options = {"connect_args": {"timeout": PATIENCE}} if url.startswith("sqlite") else {}
    return optuna.create_study(
        study_name="shared",
        storage=optuna.storages.RDBStorage(url, engine_kwargs=options),
        load_if_exists=True,
        sampler=sampler_of(seed=seed),
    )


def search(study_url: str, store_url: str, log: str, budget: int) -> None:
    study = make_study(study_url)
    with closing(opr.InstanceStore(store_url)) as store:
        objective = opr.MultiInstanceObjective(Logged(log, 0.02), N_INSTANCES, store=store)
        study.optimize(objective, callbacks=[opr.MaxInstancesCallback(budget)])


def test_processes_share_a_robust_search(url: str, tmp_path: Path) -> None:
    make_study(url)
    log = Logged(str(tmp_path / "log"))
    # The tables of the store are created by all of them at the same time.
    workers = [begin_script(SEARCH, url, url, log.path, 40) for _ in range(N_PROCESSES)]
    for worker in workers:
        _, errors = worker.communicate(timeout=PATIENCE)
        assert worker.returncode == 0, errors
    study = make_study(url)
    assert set(log.count("begin").values()) == {1}
    assert log.count("end") == log.count("begin")
    assert n_spent_by(study.trials) >= 40
    assert n_spent_by(study.trials) <= 40 + N_PROCESSES * N_INSTANCES
    with closing(opr.InstanceStore(url)) as store:
        assert len(store.instances()) == log.count("end").total()


def test_workers_of_a_selection_keep_their_instances(url: str, tmp_path: Path) -> None:
    log = Logged(str(tmp_path / "log of this process"))
    models = [{"model": number} for number in range(12)]
    alone = opr.robust_select(log, models, n_instances=N_INSTANCES, train_survivors=True)
    log = Logged(str(tmp_path / "log of the workers"))
    with closing(opr.InstanceStore(url)) as store:
        for _ in range(2):  # the second takes everything from the store
            result = opr.robust_select(
                log,
                models,
                n_instances=N_INSTANCES,
                train_survivors=True,
                store=store,
                n_jobs=N_PROCESSES,
                study=make_study(url),
            )
            assert result.best_params == alone.best_params
            np.testing.assert_array_equal(result.losses, alone.losses)
            assert set(log.count("begin").values()) == {1}


def test_what_is_longer_than_an_attribute_is_kept(url: str) -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        if instance.number == 1:
            raise RuntimeError("the compiler said: " + 100_000 * "ü'\"\\")
        trial.set_user_attr("history", 3_000 * "é")
        return x + instance.number / 7

    study = optuna.create_study(storage=url, study_name="long")
    study.optimize(opr.MultiInstanceObjective(objective, 7, on_failure="drop"), n_trials=1)
    confirmed = opr.confirm(study, objective, n_models=1, n_instances=2_500)
    read = optuna.load_study(storage=url, study_name="long")
    (trial,) = read.trials
    assert trial.state == optuna.trial.TrialState.COMPLETE
    record = ModelRecord.of_trial(trial, 1)
    assert record.user_attrs.keys() == {0, 2, 3, 4, 5, 6}
    assert {len(attrs["history"]) for attrs in record.user_attrs.values()} == {3_000}
    assert record.failures[1].startswith("RuntimeError: the compiler said: ü")
    assert len(record.failures[1]) < 3_000
    report = study_report(read, n_trials=1)
    assert report.confirmation is not None
    assert report.confirmation.losses.shape == confirmed.losses.shape == (1, 2_500)


SERVER_KINDS = [pytest.param(kind, marks=pytest.mark.slow) for kind in servers.SERVERS]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[servers.Server]:
    """A server that a test may kill."""
    try:
        found = servers.SERVERS[request.param]()
    except servers.ServerMissingError as error:
        pytest.skip(str(error))
    yield found
    found.stop()


@pytest.mark.parametrize("server", SERVER_KINDS, indirect=True)
def test_a_search_survives_the_death_of_its_stores_server(
    server: servers.Server, tmp_path: Path
) -> None:
    study_url = f"sqlite:///{tmp_path / 'study.db'}"
    make_study(study_url)
    log = Logged(str(tmp_path / "log"))
    store_url = server.new_database()
    worker = begin_script(SEARCH, study_url, store_url, log.path, 60)
    for n_trained in (10, 30):
        wait_until(lambda n=n_trained: log.count("end").total() >= n)
        server.kill()
        time.sleep(0.5)
        server.start()
    _, errors = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 0, errors
    assert "cannot be reached" in errors
    assert set(log.count("begin").values()) == {1}
    with closing(opr.InstanceStore(store_url)) as store:
        assert len(store.instances()) == log.count("end").total()


@pytest.mark.parametrize("server", SERVER_KINDS, indirect=True)
def test_a_search_goes_on_after_the_death_of_its_storages_server(
    server: servers.Server, tmp_path: Path
) -> None:
    url = server.new_database()
    make_study(url)
    log = Logged(str(tmp_path / "log"))
    kills = []
    for n_trained in (10, 30):
        worker = begin_script(SEARCH, url, url, log.path, 60)
        wait_until(lambda n=n_trained: log.count("end").total() >= n)
        kills.append(time.time())
        server.kill()
        server.start()
        worker.communicate(timeout=PATIENCE)  # it may fail: Optuna does not wait for its storage
    worker = begin_script(SEARCH, url, url, log.path, 60)
    _, errors = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 0, errors
    assert_only_the_killed_were_trained_again(log, kills)
    assert n_spent_by(make_study(url).trials) >= 60
