"""What is run again for a comparison at equal seconds."""

from dataclasses import replace

import optuna
from optuna.storages import InMemoryStorage
import pytest

from benchmarks.nas_vs_robust import archive
from benchmarks.nas_vs_robust import measure
from benchmarks.nas_vs_robust.plan import Plan
from benchmarks.nas_vs_robust.plan import Row
from benchmarks.nas_vs_robust.plan import Search
from benchmarks.nas_vs_robust.runner import Done
from tests.benchmarks.nas_vs_robust import noise
from tests.benchmarks.nas_vs_robust.noise import an_outcome


PLAN = Plan(n_instances=4, confirmations=50, sample_sizes=(4, 16))
SECONDS = {"nas": 30.0, "nas-retrained": 90.0, "robust": 40.0, "robust-select": 30.0}


@pytest.fixture
def done(monkeypatch):
    """Pretend to run: every search takes what is said, in proportion to its trainings."""
    pieces = []

    def pretend(bench, missing, *, n_jobs):
        for piece in missing:
            pieces.append(piece)
            if isinstance(piece.what, str):
                yield Done(Row(piece.what, {16: (1.0,)}), None, 0)
                continue
            storage = InMemoryStorage()
            optuna.create_study(storage=storage, study_name=piece.what.name)
            trainings = piece.what.trainings
            seconds = SECONDS[piece.what.arm] * trainings / 60
            outcome = an_outcome(search=(1.0,), n_trainings=trainings, seconds=seconds)
            yield Done(replace(outcome, search=piece.what), storage, 0)

    monkeypatch.setattr(measure, "run_pieces", pretend)
    return pieces


def run(tmp_path, arms, seeds=1, rows=("good",), budgets=(60,), equal_seconds=True):
    kept = archive.Archive(tmp_path / "some.db", {"a": 1})
    found = measure.measure(
        kept,
        noise.bench(tmp_path),
        PLAN,
        arms=arms,
        budgets=budgets,
        seeds=range(seeds),
        rows=rows,
        equal_seconds=equal_seconds,
        n_jobs=1,
    )
    kept.close()
    return found


def test_slower_searches_are_run_again_with_fewer_trainings(done, tmp_path):
    outcomes, timed, rows = run(tmp_path, tuple(SECONDS))
    assert [outcome.n_trainings for outcome in outcomes] == [60] * 4
    # 60 * 30 / 90 is less than nas-retrained needs.
    assert [outcome.n_trainings for outcome in timed] == [60, 40, 45, 60]
    assert [outcome.search.timed for outcome in timed] == [False, True, True, False]
    again = [piece for piece in done if piece.plan != PLAN]
    assert {(piece.plan.confirmations, piece.plan.sample_sizes) for piece in again} == {
        (20, (16,))
    }
    assert [row.name for row in rows] == ["good"]


def test_arms_take_turns_and_retraining_comes_after_its_search(done, tmp_path):
    run(tmp_path, ("nas", "nas-retrained", "robust"), seeds=2)
    assert [piece.what for piece in done][:7] == [
        "good",
        *(Search("nas", 0, 60), Search("robust", 0, 60)),
        *(Search("nas", 1, 60), Search("nas-retrained", 0, 60), Search("robust", 1, 60)),
        Search("nas-retrained", 1, 60),
    ]


def test_with_a_faster_arm_the_others_are_shortened_anew(done, tmp_path, monkeypatch):
    _, timed, _ = run(tmp_path, ("nas", "robust"))
    assert [outcome.search.trainings for outcome in timed] == [60, 45]
    monkeypatch.setitem(SECONDS, "robust-select", 20.0)
    _, timed, _ = run(tmp_path, ("nas", "robust", "robust-select"))
    assert [outcome.search.trainings for outcome in timed] == [40, 30, 60]


def test_one_arm_alone_is_not_compared_by_time(done, tmp_path):
    _, timed, _ = run(tmp_path, ("robust",))
    assert timed == []


def test_presets_may_do_without_a_comparison_by_time(done, tmp_path):
    _, timed, _ = run(tmp_path, ("nas", "robust"), equal_seconds=False)
    assert timed == []


def test_what_takes_no_time_is_not_compared_by_time(done, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "_FEWEST_SECONDS", 31.0)
    _, timed, _ = run(tmp_path, ("nas", "robust"))
    assert timed == []


def test_nothing_is_done_twice(done, tmp_path, capsys):
    first = run(tmp_path, tuple(SECONDS))
    n_done = len(done)
    assert run(tmp_path, tuple(SECONDS)) == first
    assert len(done) == n_done
    assert "5 of 5 searches and rows are there." in capsys.readouterr().out


def test_an_interrupted_copy_is_made_again(tmp_path):
    path = tmp_path / "some.db"
    url = f"sqlite:///{path}"
    name = Search("nas", 0, 60).name
    optuna.create_study(study_name=name, storage=url)
    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name=name)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)

    written = archive.Archive(path, {"n_instances": 12})
    assert Search("nas", 0, 60) not in written
    written.add_outcome(an_outcome(trainings=60), storage)
    assert len(optuna.load_study(study_name=name, storage=url).trials) == 3
    assert archive.Archive(path, {"n_instances": 12}).outcome(Search("nas", 0, 60)) == an_outcome(
        trainings=60
    )


def test_work_with_other_settings_is_refused(tmp_path):
    written = archive.Archive(tmp_path / "some.db", {"n_instances": 12})
    written.add_row(Row("good", {16: (1.0,)}))
    assert archive.Archive(tmp_path / "some.db", {"n_instances": 12}).row("good").name == "good"
    with pytest.raises(archive.OtherSettingsError, match=r"n_instances 12 \(now 13\)"):
        archive.Archive(tmp_path / "some.db", {"n_instances": 13})


def test_budgets_are_done_in_turn_and_not_compared_by_time(done, tmp_path):
    outcomes, timed, _ = run(tmp_path, ("nas", "robust"), budgets=(20, 60))
    searches = [Search(arm, 0, trainings) for trainings in (20, 60) for arm in ("nas", "robust")]
    assert [piece.what for piece in done] == ["good", *searches]
    assert [outcome.search for outcome in outcomes] == searches
    assert timed == []


def test_another_budget_is_added_to_what_is_there(done, tmp_path):
    run(tmp_path, ("nas",))
    n_done = len(done)
    run(tmp_path, ("nas",), budgets=(60, 90))
    assert [piece.what for piece in done[n_done:]] == [Search("nas", 0, 90)]
