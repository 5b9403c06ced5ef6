import numpy as np
import pytest

from benchmarks.selection_cost.families import COMMON
from benchmarks.selection_cost.families import FAMILIES
from benchmarks.selection_cost.families import Family
from benchmarks.selection_cost.families import LEVELS
from benchmarks.selection_cost.families import NOISE
from benchmarks.selection_cost.problems import default_tolerance
from benchmarks.selection_cost.problems import FamilyProblem
from benchmarks.selection_cost.problems import generator
from benchmarks.selection_cost.problems import TableProblem
from benchmarks.tables import Table
from optuna_robust.criteria import get_criterion


def draws(name, n=60):
    problem = FamilyProblem(name)
    return [problem.draw(generator(problem, number, seed=0)) for number in range(n)]


def spreads(draw):
    return draw.losses.std(axis=1, ddof=1)


def common_correlation(name):
    """Correlation of two models' losses over instances, over many tables."""
    pairs = [
        np.corrcoef(draw.losses[first], draw.losses[first + 1])[0, 1]
        for draw in draws(name)
        for first in range(0, 40, 2)
    ]
    return float(np.mean(pairs))


@pytest.mark.parametrize("name", FAMILIES)
def test_families_have_the_models_that_their_names_promise(name):
    problem = FamilyProblem(name)
    draw = problem.draw(generator(problem, 0, seed=0))
    assert draw.losses.shape == (problem.n_models, problem.n_instances)
    assert name.endswith(f"-{problem.n_models}")
    assert np.isfinite(draw.losses).all()
    assert draw.population is not None


def test_measured_family_has_the_measured_spreads():
    found = draws("measured-64")
    assert np.mean([d.population.level.std(ddof=1) for d in found]) == pytest.approx(
        LEVELS, rel=0.05
    )
    assert np.mean([spreads(d).mean() for d in found]) == pytest.approx(
        np.hypot(NOISE, COMMON), rel=0.05
    )


@pytest.mark.parametrize(
    ("name", "correlation"),
    [
        ("independent-50", 0.0),
        ("measured-64", COMMON**2 / (COMMON**2 + NOISE**2)),
        ("common-64", 25 / 26),
    ],
)
def test_models_are_correlated_by_what_instances_have_in_common(name, correlation):
    assert common_correlation(name) == pytest.approx(correlation, abs=0.03)


def test_spreads_differ_only_where_they_should():
    def ratio(name):
        return np.mean(
            [np.quantile(d.population.spread, [0.9, 0.1]) for d in draws(name, 20)], axis=0
        )

    assert ratio("measured-64")[0] == pytest.approx(ratio("measured-64")[1])
    assert np.divide(*ratio("unequal-64")) > 2.5
    assert np.divide(*ratio("unequal-500")) > 2


def test_heavy_tails_are_heavy():
    def share_beyond_4_sd(name):
        return np.mean(
            [
                np.abs(d.losses - d.population.level[:, None]) > 4 * d.population.spread[:, None]
                for d in draws(name, 20)
            ]
        )

    assert share_beyond_4_sd("heavy-tails-64") > 10 * share_beyond_4_sd("independent-50")
    assert share_beyond_4_sd("heavy-tails-64") > 0.003


def test_identical_models_have_no_best():
    population = draws("identical-512", 1)[0].population
    assert np.ptp(population.level) == 0.0
    assert np.ptp(population.value("q3+iqr")) == 0.0


def test_lucky_models_tempt_by_their_mean_alone():
    for draw in draws("lucky-64", 5):
        population = draw.population
        lucky = population.spread > 2 * np.median(population.spread)
        assert lucky.sum() == 8
        assert (population.level[lucky] == population.level.min()).all()
        robust = population.value("q3+iqr")
        assert robust[~lucky].min() < robust[lucky].min()


@pytest.mark.parametrize("name", ["measured-64", "heavy-tails-64"])
@pytest.mark.parametrize("criterion", ["mean", "q3", "q3+iqr", "std", "iqr", "mean+std"])
def test_population_values_are_those_of_many_instances(monkeypatch, name, criterion):
    monkeypatch.setattr("benchmarks.selection_cost.families.N_INSTANCES", 60_000)
    problem = FamilyProblem(name)
    draw = problem.draw(generator(problem, 0, seed=1))
    measured = get_criterion(criterion)(draw.losses[:3])
    # Tails of t with 3 degrees of freedom have no fourth moment: their std converges slowly.
    assert measured == pytest.approx(draw.population.value(criterion)[:3], abs=0.08 * NOISE)


def test_unknown_population_values_are_none():
    assert draws("measured-64", 1)[0].population.value("max") is None


def test_mixtures_without_known_quartiles_are_refused():
    with pytest.raises(ValueError, match="not known"):
        Family(about="", n_models=2, heavy_tails=True)


def test_replays_are_the_same_each_time_and_differ_from_each_other():
    problem = FamilyProblem("measured-64")
    first, again, second, other_seed = (
        problem.draw(generator(problem, number, seed=seed)).losses
        for number, seed in ((0, 0), (0, 0), (1, 0), (0, 1))
    )
    assert (first == again).all()
    assert not (first == second).any()
    assert not (first == other_seed).any()


def test_a_table_keeps_its_columns_together():
    losses = np.arange(12.0).reshape(2, 6)
    problem = TableProblem(Table("a", losses, "loss", "minimize"))
    drawn = problem.draw(generator(problem, 0, seed=0))
    assert drawn.population is None
    assert sorted(map(tuple, drawn.losses.T)) == sorted(map(tuple, losses.T))
    assert drawn.losses.tolist() != losses.tolist()
    assert default_tolerance(problem) == pytest.approx(0.1 * np.std(np.arange(6), ddof=1))


def test_rounded_tables_have_ties():
    losses = np.array([[0.25, 0.5], [0.5, 0.75]])
    assert TableProblem(Table("a", losses, "loss", "minimize")).has_ties
    assert not TableProblem(Table("a", losses + np.array([[0], [1]]), "loss", "minimize")).has_ties
