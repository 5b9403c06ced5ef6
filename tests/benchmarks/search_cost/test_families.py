"""Truths of made-up families, against simulation; losses as pure functions."""

import math

import numpy as np
import optuna
import pytest
from scipy import stats

from benchmarks.search_cost.families import FAMILIES
from benchmarks.search_cost.noise import Noise
from optuna_robust import Instance
from optuna_robust.criteria import get_criterion


N_SIMULATED = 1500


def models(family, n, seed=0):
    """Return random models of a family."""
    sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.create_study(sampler=sampler)
    return [family.suggest(study.ask()) for _ in range(n)]


@pytest.mark.parametrize("name", FAMILIES)
def test_truth_is_what_many_trainings_show(name):
    family = FAMILIES[name]
    (model,) = models(family, 1, seed=3)
    losses = np.array([family.loss(model, Instance(i, study_seed=7)) for i in range(N_SIMULATED)])
    # 5 standard errors of the widest of these statistics.
    tolerance = 5 * 3.0 * float(family.population(model).spread) / math.sqrt(N_SIMULATED)
    for criterion in ("median", "q3", "iqr", "q3+iqr"):
        simulated = float(get_criterion(criterion)(losses))
        assert family.true_criterion(model, criterion) == pytest.approx(simulated, abs=tolerance)
    assert np.isinf(losses).mean() == pytest.approx(
        float(family.population(model).failures), abs=5 * 0.4 / math.sqrt(N_SIMULATED)
    )


def test_a_family_of_models_that_fail_has_some():
    family = FAMILIES["fail"]
    calm, wild = ({f"x{i}": 0.5 for i in range(5)} | {"x3": x} for x in (0.0, 1.0))
    assert family.population(calm).failures == 0.0
    assert family.population(wild).failures > 0.15
    assert family.true_criterion(wild, "mean") == family.true_criterion(wild, "std") == math.inf
    assert math.isfinite(family.true_criterion(wild))
    assert any(math.isinf(family.loss(wild, Instance(i))) for i in range(60))


@pytest.mark.parametrize("is_heavy", [False, True])
def test_quantiles_of_noise_are_those_of_its_draws(is_heavy):
    noise = Noise(is_heavy=is_heavy)
    rng = np.random.default_rng(0)
    own = rng.standard_t(3, 400_000) / math.sqrt(3) if is_heavy else rng.normal(size=400_000)
    draws = math.sqrt(0.3) * rng.normal(size=400_000) + math.sqrt(0.7) * own
    shares = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    assert noise.quantile(shares) == pytest.approx(np.quantile(draws, shares), abs=0.015)
    assert noise.quantile(np.array(1.0)) == math.inf


def test_criteria_of_normal_losses_are_the_textbook_s():
    family = FAMILIES["nothing"]
    model = {f"x{i}": at for i, at in enumerate((0.63, 0.28, 0.71, 0.1, 0.9))}
    quartile = 0.02 * stats.norm.ppf(0.75)
    expected = {
        "mean": 0.0,
        "median": 0.0,
        "q3": quartile,
        "iqr": 2 * quartile,
        "q3+iqr": 3 * quartile,
        "std": 0.02,
        "mean+std": 0.02,
    }
    for criterion, value in expected.items():
        assert family.true_criterion(model, criterion) == pytest.approx(value, abs=1e-12)
    assert family.best() == pytest.approx(3 * quartile, abs=1e-5)


def test_unknown_truths_are_refused():
    with pytest.raises(ValueError, match="no true 'max'"):
        FAMILIES["synth"].true_criterion(models(FAMILIES["synth"], 1)[0], "max")


@pytest.mark.parametrize("name", ["synth", "trap", "conditional", "mixed"])
def test_no_random_model_is_better_than_the_best(name):
    family = FAMILIES[name]
    unit = np.random.default_rng(0).random((len(family.space.distributions), 100_000))
    values = family.population(family.space.decode(unit)).value("q3+iqr")
    assert family.best() <= values.min() + 1e-9
    assert family.best() == pytest.approx(values.min(), abs=0.25)


def test_many_models_at_once_are_the_same_as_one_by_one():
    for family in FAMILIES.values():
        unit = np.random.default_rng(1).random((len(family.space.distributions), 5))
        together = family.space.decode(unit)
        values = family.population(together).value("q3+iqr")
        for i in range(5):
            one = family.space.active({name: each[i].item() for name, each in together.items()})
            assert family.true_criterion(one) == pytest.approx(values[i], rel=1e-12)


def test_the_lowest_mean_is_a_trap():
    family = FAMILIES["trap"]
    lowest = {"x0": 0.3, "x1": 0.7, "x2": 0.4, "x3": 0.6}
    assert family.true_criterion(lowest, "mean") == pytest.approx(family.best("mean"), abs=0.01)
    assert family.true_criterion(lowest) > family.best() + 1.0


def test_branches_have_hyperparameters_of_their_own():
    names = {model["branch"]: model.keys() for model in models(FAMILIES["conditional"], 40)}
    assert names["forest"] == {"branch", "shared", "leaf"}
    assert names["network"] == {"branch", "shared", "rate", "decay", "width"}
    assert names["kernel"] == {"branch", "shared", "scale"}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_loss_depends_on_model_and_instance_alone(name):
    family = FAMILIES[name]
    first, second = models(family, 2)
    used = Instance(4, study_seed=1)
    before = family.loss(first, used)
    used.rng.normal(size=10)
    family.loss(second, used)
    family.loss(first, Instance(5, study_seed=1))
    np.random.seed(0)
    assert family.loss(first, used) == before
    reordered = dict(reversed(first.items()))
    assert family.loss(reordered, Instance(4, study_seed=1)) == before
    others = [Instance(4, study_seed=2), Instance(3, study_seed=1)]
    others.append(Instance(4, study_seed=1, model=0))
    assert all(family.loss(first, each) != before for each in others)


def test_models_have_part_of_the_noise_in_common():
    family = FAMILIES["flat"]
    pair = models(family, 2)
    losses = np.array(
        [[family.loss(model, Instance(i)) for i in range(N_SIMULATED)] for model in pair]
    )
    assert np.corrcoef(losses)[0, 1] == pytest.approx(0.3, abs=0.12)


def test_an_objective_suggests_and_returns_the_loss():
    family = FAMILIES["mixed"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    loss = family.objective(trial, Instance(2))
    assert loss == family.loss(trial.params, Instance(2))
    assert isinstance(trial.params["depth"], int)
