"""Measured tables as search problems."""

import numpy as np
import optuna
import pytest

from benchmarks.search_cost.problems import TableProblem
from benchmarks.tables import read_table
from benchmarks.tables import TableError
from optuna_robust import Instance
from optuna_robust.criteria import get_criterion


def table(folder, rows, *, n_instances=6, header="model,rate,kind"):
    path = folder / "table.csv"
    losses = np.random.default_rng(0).random((len(rows), n_instances)).round(3)
    names = ",".join(f"loss_{i}" for i in range(n_instances))
    lines = [f"{row},{','.join(map(str, each))}" for row, each in zip(rows, losses, strict=True)]
    path.write_text("\n".join([f"{header},{names}", *lines]), encoding="utf-8")
    return read_table(path), losses


GRID = [f"m{i},{rate},{kind}" for i, (rate, kind) in enumerate(
    (rate, kind) for rate in ("0.1", "0.01", "1e0") for kind in ("a", "b")
)]  # fmt: skip


def test_a_search_sees_some_instances_and_is_judged_by_the_others(tmp_path):
    read, losses = table(tmp_path, GRID)
    landscape = TableProblem(read).landscape(3)
    assert landscape.n_instances == 3
    model = {"rate": 1, "kind": "b"}  # the middle one of three rates: 0.1
    seen = [landscape.loss(model, Instance(i)) for i in range(3)]
    assert set(seen) < set(losses[1])
    others = sorted(set(losses[1]) - set(seen))
    assert landscape.truth(model) == pytest.approx(float(get_criterion("q3+iqr")(others)))
    values = [landscape.truth({"rate": r, "kind": k}) for r in range(3) for k in "ab"]
    assert landscape.best() == min(values)


def test_other_seeds_see_other_instances_and_own_ones_are_drawn(tmp_path):
    problem = TableProblem(table(tmp_path, GRID)[0])
    model = {"rate": 0, "kind": "a"}
    seen = [
        {problem.landscape(seed).loss(model, Instance(i)) for i in range(3)} for seed in range(8)
    ]
    assert len({frozenset(each) for each in seen}) > 1
    landscape = problem.landscape(0)
    drawn = {landscape.loss(model, Instance(0, model=number)) for number in range(40)}
    assert drawn == {landscape.loss(model, Instance(i)) for i in range(3)}


def test_labels_and_columns_that_do_not_differ_are_no_hyperparameters(tmp_path):
    rows = [f"{i},m{i},{rate},7" for i, rate in enumerate((0.1, 0.2))]
    read, _ = table(tmp_path, rows, header="id,title,rate,same")
    assert list(TableProblem(read).landscape(0).space.distributions) == ["rate"]


def test_combinations_that_are_missing_stand_for_the_nearest_model(tmp_path):
    read, _ = table(tmp_path, ["m0,1,a", "m1,2,a", "m2,9,b", "m3,,b"])
    landscape = TableProblem(read).landscape(0)
    rate = landscape.space.distributions["rate"]
    assert (rate.low, rate.high) == (0, 3)  # an empty cell comes first
    missing, nearest, other = ((3, "a"), (2, "a"), (3, "b"))
    found = [landscape.truth({"rate": rate, "kind": kind}) for rate, kind in (missing, nearest)]
    assert found[0] == found[1] != landscape.truth({"rate": other[0], "kind": other[1]})


def test_models_are_suggested_from_the_columns(tmp_path):
    space = TableProblem(table(tmp_path, GRID)[0]).landscape(0).space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = [space.suggest(study.ask()) for _ in range(60)]
    assert {(each["rate"], each["kind"]) for each in found} == {
        (rate, kind) for rate in range(3) for kind in "ab"
    }


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (["m0,1,a", "m1,1,a"], {}, "no columns of hyperparameters that differ"),
        (["m0,1,a", "m1,1,a", "m2,2,a"], {}, r"2 rows with the same hyperparameters.*--where"),
        (["m0,1,a", "m1,2,a"], {"n_instances": 3}, "3 instances; a search needs at least 4"),
    ],
)
def test_tables_that_cannot_be_searched_are_refused(tmp_path, rows, options, message):
    with pytest.raises(TableError, match=message):
        TableProblem(table(tmp_path, rows, **options)[0])
