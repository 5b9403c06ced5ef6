"""What the store keeps, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
import math
import os
from pathlib import Path
import pickle
import sqlite3
from typing import Any

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
import pytest
import sqlalchemy as sa

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import robust_select
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._instances.instance import SOURCES
from optuna_robust._instances.model_key import model_key
from optuna_robust._running.store import Claims
from optuna_robust._running.store._schema import make_engine
from tests.conftest import new_database
from tests.conftest import SERVERS


examples = settings(derandomize=True, deadline=None, max_examples=30)


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if kind == "memory":
        yield "sqlite://"
    elif kind == "sqlite":
        yield f"sqlite:///{folder / 'robust.db'}"
    else:
        yield new_database(kind)


@pytest.fixture(
    params=["memory", "sqlite", *SERVERS],
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of every kind."""
    with database(request.param, tmp_path) as found:
        yield found


@pytest.fixture(params=["sqlite", *SERVERS])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of every kind that several stores can use."""
    with database(request.param, tmp_path) as found:
        yield found


def jobs_of(n: int, x: float = 0.5) -> list[Job]:
    """The first instances of a model."""
    return [Job({"x": x}, Instance(number)) for number in range(n)]


def train(store: InstanceStore, job: Job, outcome: Outcome) -> None:
    assert store.claim([job]).granted == {job.key}
    assert store.record(job, outcome)


FAILED = Outcome(None, failure="ValueError: no")
PRUNED = Outcome(None, failure="the objective raised TrialPruned", pruned=True)

# One of everything that databases could change on the way.
RICH = Outcome(
    -1.2345678901234567e-300,
    seconds=0.1,
    learning_curve={0: 0.1, 7: -math.inf, 10**12: 5e-324},
    user_attrs={"": None, "ключ 🔑": ["\0", "'\"\\", {"deep": [True, 1, 1.5]}], "lone": "\ud800"},
    constraints={"c": 0.1, "d": math.inf},
    distributions={
        "x": FloatDistribution(1e-5, 0.1, log=True),
        "step": FloatDistribution(0, 1, step=0.25),
        "n": IntDistribution(1, 2**40, log=True),
        "kind": CategoricalDistribution(("a", None, 1, 1.5, False, "é")),
    },
)


def test_an_instance_is_kept_as_it_was(url: str) -> None:
    store = InstanceStore(url)
    job = Job({"x": 0.1, "kind": "ä", "n": np.int64(2**40)}, Instance(3, study_seed=5))
    own = Job({"x": 0.1}, Instance(3, phase="confirmation", model=2))
    train(store, job, RICH)
    store.claim([own])
    assert store.outcomes([job, own]) == {job.key: RICH}
    # Equal is not the same for choices: True == 1 == 1.0.
    found = store.outcomes([job])[job.key].distributions["kind"]
    assert isinstance(found, CategoricalDistribution)
    assert repr(found.choices) == "('a', None, 1, 1.5, False, 'é')"

    first, second = store.instances()
    assert first.outcome == RICH
    assert first.params == {"x": 0.1, "kind": "ä", "n": 2**40}
    assert first.model_key == model_key(job.params)
    assert (first.phase, first.number, first.own) == ("search", 3, None)
    assert (first.seed, first.order_seed) == (job.instance.seed, job.instance.order_seed)
    assert first.key == job.key
    assert first.state == "done"
    assert first.finished is not None
    assert first.begun <= first.finished
    assert first.worker is not None
    assert first.worker.endswith(f":{os.getpid()}")
    assert (second.phase, second.number, second.own) == ("confirmation", 3, 2)
    assert second.key == own.key
    assert (second.state, second.outcome, second.finished) == ("running", None, None)


attributes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
choices = st.lists(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    min_size=1,
    max_size=4,
)
bounds = st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=2).map(sorted)
distributions = (
    bounds.map(lambda pair: FloatDistribution(pair[0], pair[1]))
    | st.integers(-(2**62), 2**62).map(lambda low: IntDistribution(low, low + 10, step=5))
    | choices.map(lambda each: CategoricalDistribution(tuple(each)))
)
# NUL and lone surrogates apart: databases cannot keep them.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
details = {
    "seconds": st.floats(0, 1e9),
    "learning_curve": st.dictionaries(st.integers(0, 2**62), st.floats(allow_nan=False)),
    "user_attrs": st.dictionaries(st.text(), attributes, max_size=4),
    "constraints": st.dictionaries(st.text(), st.floats(allow_nan=False), max_size=3),
    "distributions": st.dictionaries(st.text(), distributions, max_size=4),
}
outcomes = (
    st.builds(Outcome, st.floats(allow_nan=False, allow_infinity=False), **details)
    | st.builds(Outcome, st.none(), texts, **details)
    | st.builds(Outcome, st.none(), st.none() | texts, st.just(True), **details)
)


@examples
@given(outcomes)
def test_every_outcome_is_read_as_it_was_recorded(outcome: Outcome) -> None:
    store, (job,) = InstanceStore(), jobs_of(1)
    train(store, job, outcome)
    found = store.outcomes([job])[job.key]
    assert found == outcome
    # Equal is not the same: the types of choices and attributes count.
    assert repr(found) == repr(replace(outcome, loss=found.loss))
    store.close()


def test_choices_that_are_equal_but_not_the_same_stay_apart() -> None:
    store, jobs = InstanceStore(), jobs_of(3)
    wanted = [(True, False), (1, 0), (1.0, 0.0)]
    for job, each in zip(jobs, wanted, strict=True):
        train(store, job, Outcome(0.0, distributions={"flag": CategoricalDistribution(each)}))
    found = store.outcomes(jobs)
    kept = [found[job.key].distributions["flag"].choices for job in jobs]  # type: ignore[attr-defined]
    assert repr(kept) == repr(wanted)


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
def test_choices_that_are_lists_are_kept() -> None:
    store, (job,) = InstanceStore(), jobs_of(1)
    train(store, job, Outcome(0.0, distributions={"x": CategoricalDistribution(([8, 4], [2]))}))  # type: ignore[arg-type]
    found = store.outcomes([job])[job.key].distributions["x"]
    assert found.choices == ([8, 4], [2])  # type: ignore[attr-defined]


def test_nan_in_a_learning_curve_is_kept(url: str) -> None:
    store, (job,) = InstanceStore(url), jobs_of(1)
    train(store, job, Outcome(0.0, learning_curve={0: math.nan, 1: 1.0}))
    curve = store.outcomes([job])[job.key].learning_curve
    assert math.isnan(curve[0])
    assert curve[1] == 1.0


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_never_stored(url: str, loss: float) -> None:
    store, (job,) = InstanceStore(url), jobs_of(1)
    store.claim([job])
    for outcome in (
        Outcome(loss),
        Outcome(loss, failure="it diverged"),
        Outcome(loss, pruned=True),
    ):
        with pytest.raises(ValueError, match=f"cannot have the loss {loss}"):
            store.record(job, outcome)
    assert [each.state for each in store.instances()] == ["running"]
    assert store.record(job, Outcome(1.0))


@pytest.mark.parametrize(
    "outcome", [Outcome(None), Outcome(1.0, failure="no"), Outcome(1.0, pruned=True)]
)
def test_only_an_instance_that_succeeded_has_a_loss(outcome: Outcome) -> None:
    store, (job,) = InstanceStore(), jobs_of(1)
    store.claim([job])
    with pytest.raises(ValueError, match="loss"):
        store.record(job, outcome)


def test_a_failure_that_databases_refuse_is_kept_in_readable_form(url: str) -> None:
    """Names of files, which exceptions name, may be no UTF-8."""
    store, (job,) = InstanceStore(url), jobs_of(1)
    train(store, job, Outcome(None, failure="OSError: caf\udce9\0.txt"))
    assert store.outcomes([job])[job.key].failure == "OSError: caf\\udce9\\x00.txt"


def test_states_successes_and_failures_to_forget(url: str) -> None:
    store, jobs = InstanceStore(url), jobs_of(4)
    assert not store.has_success()
    train(store, jobs[0], FAILED)
    train(store, jobs[1], PRUNED)
    store.claim([jobs[2]])
    assert not store.has_success()
    train(store, jobs[3], Outcome(0.5))
    assert store.has_success()
    states = [each.state for each in store.instances()]
    assert states == ["failed", "pruned", "running", "done"]

    assert store.forget_failures() == 1
    assert store.forget_failures() == 0
    assert [each.state for each in store.instances()] == ["pruned", "running", "done"]
    claims = store.claim(jobs)
    assert claims.granted == {jobs[0].key}
    assert set(claims.finished) == {jobs[1].key, jobs[3].key}
    assert claims.busy == {jobs[2].key}


def test_experiments_are_apart(shared_url: str) -> None:
    one, other = InstanceStore(shared_url, "one"), InstanceStore(shared_url, "other", version="2")
    jobs = jobs_of(2)
    one.bind(seed=0, vary=("init",))
    other.bind(seed=1, vary=("order",))
    for store in (one, other):
        train(store, jobs[0], FAILED)
    assert one.forget_failures() == 1
    assert one.instances() == []
    assert [each.outcome for each in other.instances()] == [FAILED]
    assert one.claim_trial("study", 0)
    assert other.claim_trial("study", 0)


def test_many_models_and_numbers(url: str) -> None:
    """More than one statement may name."""
    jobs = [
        Job({"x": model / 8}, Instance(number + 1000 * (number % 2)))
        for model in range(410)
        for number in (model, model + 1)
    ]
    store = InstanceStore(url)
    assert store.claim(jobs).granted == {job.key for job in jobs}
    wanted = {job.key: Outcome(float(index)) for index, job in enumerate(jobs)}
    for job in jobs[::40]:
        assert store.record(job, wanted[job.key])
    finished = {job.key: wanted[job.key] for job in jobs[::40]}
    assert store.outcomes(jobs) == finished
    again = store.claim(jobs)
    assert again == Claims(finished=finished, busy=set(wanted) - set(finished))
    assert [each.key for each in store.instances()] == [job.key for job in jobs]


def test_what_was_kept_is_there_when_the_store_is_opened_again(shared_url: str) -> None:
    store, jobs = InstanceStore(shared_url, "e", version="1"), jobs_of(2)
    store.bind(seed=3, vary=("init",))
    train(store, jobs[0], RICH)
    before = store.instances()
    store.close()
    again = InstanceStore(shared_url, "e", version="1")
    assert again.instances() == before
    assert again.settings() == {"seed": 3, "vary": ["init"]}
    assert again.claim(jobs[:1]).finished == {jobs[0].key: RICH}


def test_a_store_on_disk_can_be_used_after_it_was_closed(shared_url: str) -> None:
    store, jobs = InstanceStore(shared_url), jobs_of(2)
    store.claim(jobs)
    worker = store.worker()
    store.close()
    # A worker that ends late still delivers.
    assert store.record(jobs[0], Outcome(1.0))
    assert store.worker() == worker
    store.close()
    store.close()


# Versions, seeds and what varies.


def test_another_version_is_refused(shared_url: str) -> None:
    train(InstanceStore(shared_url, "e", version="1"), jobs_of(1)[0], Outcome(1.0))
    with pytest.raises(ValueError, match=r"version='2' differs from version='1'.*'e'"):
        InstanceStore(shared_url, "e", version="2")
    with pytest.raises(ValueError, match="version='' differs from version='1'"):
        InstanceStore(shared_url, "e")
    assert len(InstanceStore(shared_url, "e", version="1").instances()) == 1
    assert InstanceStore(shared_url, "f", version="2").instances() == []


@pytest.mark.parametrize(
    ("seed", "vary", "message"),
    [
        (1, ("init", "order"), "seed=1 differs from seed=0"),
        (0, ("init",), r"vary=\['init'\] differs from vary=\['init', 'order'\]"),
        (0, (), r"vary=\[\] differs from vary=\['init', 'order'\]"),
    ],
)
def test_another_seed_or_other_sources_are_refused(
    url: str, seed: int, vary: Any, message: str
) -> None:
    store = InstanceStore(url)
    assert store.settings() is None
    store.bind(seed=0, vary=("init", "order"))
    store.bind(seed=0, vary=["order", "init"])  # the same sources
    with pytest.raises(ValueError, match=message):
        store.bind(seed=seed, vary=vary)
    assert store.settings() == {"seed": 0, "vary": ["init", "order"]}


def test_another_process_has_bound_the_experiment(shared_url: str) -> None:
    first, second = InstanceStore(shared_url), InstanceStore(shared_url)
    first.bind(seed=2**200, vary=("init",))
    with pytest.raises(ValueError, match="seed=0 differs"):
        second.bind(seed=0, vary=("init",))
    second.bind(seed=2**200, vary=("init",))


@pytest.mark.parametrize(
    ("seed", "vary", "error", "message"),
    [
        ("0", ("init",), TypeError, "seed must be an integer"),
        (0.0, ("init",), TypeError, "seed must be an integer"),
        (-1, ("init",), ValueError, "seed must be at least 0"),
        (0, "init", TypeError, "vary must be a sequence"),
        (0, ("init", "weather"), ValueError, "unknown source 'weather'"),
    ],
)
def test_a_seed_or_sources_that_are_none(
    seed: Any, vary: Any, error: type[Exception], message: str
) -> None:
    store = InstanceStore()
    with pytest.raises(error, match=message):
        store.bind(seed=seed, vary=vary)
    assert store.settings() is None


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"url": Path("robust.db")}, TypeError, "url must be a string, but was .*PosixPath"),
        ({"url": None}, TypeError, "url must be a string"),
        ({"url": "robust.db"}, ValueError, "'robust.db' is no database URL.*sqlite:///robust.db"),
        ({"url": ""}, ValueError, "'' is no database URL"),
        ({"url": "nothing://host/db"}, ValueError, "'nothing://host/db' is no database URL"),
        ({"url": "postgresql+no://host/db"}, ValueError, "is no database URL.*postgresql.no"),
        ({"url": "postgresql://host:port/db"}, ValueError, "is no database URL"),
        ({"experiment": 1}, TypeError, "experiment must be a string, but was 1 of type int"),
        ({"experiment": "e" * 256}, ValueError, "experiment must be a text of at most 255"),
        ({"experiment": "a\0b"}, ValueError, "experiment must be .* NUL"),
        ({"version": None}, TypeError, "version must be a string"),
        ({"version": "\ud800"}, ValueError, "version must be .* lone surrogate"),
        ({"lease": 0}, ValueError, "lease must lie in"),
        ({"lease": math.nan}, ValueError, "lease must lie in"),
        ({"lease": math.inf}, ValueError, "lease must lie in"),
        ({"lease": "60"}, TypeError, "lease must be a number"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    if os.name != "posix":
        message = message.replace("PosixPath", "Path")
    with pytest.raises(error, match=message):
        InstanceStore(**arguments)


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be opened as a store: there is no directory"):
        InstanceStore(f"sqlite:///{tmp_path / 'missing' / 'robust.db'}")
    with pytest.raises(ValueError, match=r"cannot be opened as a store: .* is a directory"):
        InstanceStore(f"sqlite:///{tmp_path}")
    (tmp_path / "text.db").write_text("no database, but a text that is long enough to see it")
    with pytest.raises(ValueError, match="cannot be opened as a store: file is not a database"):
        InstanceStore(f"sqlite:///{tmp_path / 'text.db'}")


def test_a_database_that_may_only_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "robust.db"
    InstanceStore(f"sqlite:///{path}").close()
    store = InstanceStore(f"sqlite:///file:{path}?mode=ro&uri=true")
    with pytest.raises(RuntimeError, match="can only be read: attempt to write a readonly"):
        store.bind(seed=0, vary=SOURCES)


def test_messages_do_not_tell_the_password(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no database URL") as raised:
        InstanceStore("postgresql+no://user:secret@host/db")
    assert "secret" not in str(raised.value)
    with pytest.raises(ValueError, match="is no database URL") as raised:
        InstanceStore("postgresql://user:secret@host:port/db")
    assert "secret" not in str(raised.value)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_the_store_is_of(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'robust.db'}"
    store = InstanceStore(url, "é" * 255, version="v" * 255, lease=1e300)
    assert (store.url, store.experiment, store.version) == (url, "é" * 255, "v" * 255)
    store.claim(jobs_of(1))
    store.close()


# The tables.


def tables_of(url: str) -> dict[str, Any]:
    engine = sa.create_engine(url)
    inspector = sa.inspect(engine)
    found = {
        name: [(column["name"], str(column["type"])) for column in inspector.get_columns(name)]
        for name in inspector.get_table_names()
    }
    engine.dispose()
    return found


def test_tables_of_another_version_are_left_alone(shared_url: str) -> None:
    engine = sa.create_engine(shared_url)
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE optuna_robust_schema (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)",
            "INSERT INTO optuna_robust_schema VALUES (1, 99)",
            "CREATE TABLE optuna_robust_instances (other INTEGER)",
        ):
            connection.execute(sa.text(statement))
    before = tables_of(shared_url)
    with pytest.raises(ValueError, match=r"schema version 99, but this version of .* knows 1"):
        InstanceStore(shared_url)
    assert tables_of(shared_url) == before
    with engine.begin() as connection:
        assert connection.scalar(sa.text("SELECT version FROM optuna_robust_schema")) == 99
    engine.dispose()


def test_tables_that_were_begun_are_completed(shared_url: str) -> None:
    """MySQL keeps each table apart: a kill may come between."""
    engine = sa.create_engine(shared_url)
    statement = "CREATE TABLE optuna_robust_schema (id INTEGER PRIMARY KEY, version INTEGER)"
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()
    assert InstanceStore(shared_url).claim(jobs_of(1)).granted
    assert len(InstanceStore(shared_url).instances()) == 1


def test_the_tables_stand_beside_optunas(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    url = f"sqlite:///{path}"

    def optunas() -> list[tuple[str, str]]:
        with sqlite3.connect(path) as connection:
            found = connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'optuna_robust%' "
                "AND name NOT LIKE 'sqlite_autoindex_optuna_robust%' ORDER BY name"
            ).fetchall()
        connection.close()
        return found

    study = optuna.create_study(storage=url, study_name="beside")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    before = optunas()
    store, jobs = InstanceStore(url), jobs_of(3)
    for job in jobs:
        train(store, job, RICH)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert optunas() == before
    loaded = optuna.load_study(storage=optuna.storages.RDBStorage(url), study_name="beside")
    assert [trial.number for trial in loaded.trials] == [0, 1, 2, 3, 4]
    assert [each.outcome for each in InstanceStore(url).instances()] == [RICH] * 3


def test_optuna_may_come_to_a_database_that_has_a_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    store = InstanceStore(url)
    study = optuna.create_study(storage=url)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    train(store, jobs_of(1)[0], RICH)
    assert len(study.trials) == len(store.instances()) == 1


def test_sqlite_keeps_a_write_ahead_log_and_is_not_slowed_by_it(tmp_path: Path) -> None:
    path = tmp_path / "robust.db"
    InstanceStore(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()
    engine = make_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1  # NORMAL
    engine.dispose()


# In memory, and in other processes.


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:name?mode=memory&cache=shared&uri=true",
    ],
)
def test_what_is_in_memory_is_private_and_gone_when_it_is_closed(url: str) -> None:
    one, other, (job,) = InstanceStore(url, "one"), InstanceStore(url, "other"), jobs_of(1)
    train(one, job, Outcome(1.0))
    assert other.claim([job]).granted
    if "shared" not in url:
        assert InstanceStore(url, "one").instances() == []
    with pytest.raises(TypeError, match="in memory cannot be sent to another process"):
        pickle.dumps(one)
    one.close()
    with pytest.raises(RuntimeError, match="in memory is gone: it was closed"):
        one.instances()


def test_a_store_on_disk_can_be_sent_to_another_process(shared_url: str) -> None:
    store = InstanceStore(shared_url, "e", version="1", lease=7)
    (job,) = jobs_of(1)
    store.claim([job])
    sent = pickle.loads(pickle.dumps(store))
    assert (sent.url, sent.experiment, sent.version) == (shared_url, "e", "1")
    assert pickle.dumps(sent) == pickle.dumps(store)
    # It is a worker of its own there, and has none of the claims.
    assert sent.worker() != store.worker()
    assert sent.claim([job]).busy == {job.key}
    assert not sent.record(job, Outcome(1.0))
    assert store.record(job, Outcome(2.0))
    assert sent.outcomes([job]) == {job.key: Outcome(2.0)}


def test_kinds_of_failures_are_kept_apart_from_attributes(url: str, tmp_path: Path) -> None:
    def fails(trial: optuna.Trial, instance: Instance) -> float:
        trial.set_user_attr("epochs", 3)
        if instance.number == 1:
            raise ValueError("no")
        return trial.suggest_float("x", 0, 1) + float(instance.rng.normal())

    store = InstanceStore(url)
    first, again = (
        robust_select(fails, [{"x": 0.5}], n_instances=3, store=store, train_survivors=True)
        for _ in range(2)
    )
    assert again.n_reused == 3
    assert again.failure_kinds == first.failure_kinds
    assert next(iter(first.failure_kinds)).startswith("ValueError at test_store.py:")
    assert {str(each.outcome.user_attrs) for each in store.instances() if each.outcome} == {
        "{'epochs': 3}"
    }
    store.export_hdf5(tmp_path / "store.h5")
    other = InstanceStore()
    other.import_hdf5(tmp_path / "store.h5")
    reused = robust_select(fails, [{"x": 0.5}], n_instances=3, store=other, train_survivors=True)
    assert (reused.n_reused, reused.failure_kinds) == (3, first.failure_kinds)
