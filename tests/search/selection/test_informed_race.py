"""Races that hyperparameters inform: of the rule, of robust_select, and of the pruner."""

from __future__ import annotations

from itertools import product
import pickle
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial
from optuna.trial import TrialState
import pytest

from optuna_robust import robust_select
from optuna_robust import RobustnessPruner
from optuna_robust._base.arrays import FloatArray
from optuna_robust.elimination import get_rule
from optuna_robust.elimination import RaceRule
from tests.search.selection.tables import of_table


GRID = [{"a": a, "b": b, "c": c} for a, b, c in product(range(4), range(4), "xyz")]


def losses_of_grid(seed: int, *, noise: float = 1.0, n_instances: int = 10) -> FloatArray:
    """Main effects, an interaction, and a little of their own, about as large as the noise."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=4), rng.normal(size=4), rng.normal(size=3)
    both = rng.normal(scale=0.5, size=(4, 4))
    levels = np.array(
        [
            a[model["a"]]
            + b[model["b"]]
            + c["xyz".index(model["c"])]
            + both[model["a"], model["b"]]
            for model in GRID
        ]
    )
    levels += rng.normal(scale=0.2, size=len(GRID))
    effects = rng.normal(scale=0.5, size=n_instances)
    return levels[:, None] + effects + noise * rng.normal(size=(len(GRID), n_instances))


def raced(rule: RaceRule, losses: FloatArray) -> tuple[int, int]:
    """Return the winner and the number of trainings."""
    trained = np.zeros(len(losses), dtype=np.intp)
    alive = due = tuple(range(len(losses)))
    while due:
        trained[list(due)] += 1
        known = np.where(np.arange(losses.shape[1]) < trained[:, None], losses, np.nan)
        decision = rule.eliminate(known[:, : trained.max()], alive)
        alive, due = decision.kept, decision.next_models or ()
    return decision.incumbent, int(trained.sum())


def test_hyperparameters_save_trainings_and_lose_no_winners() -> None:
    trainings, regrets = [], []
    for seed in range(6):
        losses = losses_of_grid(seed)
        plain = RaceRule(criterion="mean", n_instances=10, tolerance=0.5)
        found = [
            raced(rule, losses)
            for rule in (
                plain,
                RaceRule(criterion="mean", n_instances=10, tolerance=0.5, models=GRID),
            )
        ]
        trainings.append([n for _, n in found])
        true = losses.mean(axis=1)
        regrets.append([true[winner] - true.min() for winner, _ in found])
    plain_cost, informed_cost = np.sum(trainings, axis=0)
    assert informed_cost < 0.95 * plain_cost
    assert np.sum(np.array(regrets)[:, 1] > 0.5) <= 1


def test_permuting_models_permutes_the_decision() -> None:
    losses = losses_of_grid(0)[:, :2]
    losses[10:, 1] = np.nan
    order = np.random.default_rng(1).permutation(len(GRID))
    rules = [
        RaceRule(criterion="mean", n_instances=10, models=models)
        for models in (GRID, [GRID[i] for i in order])
    ]
    before, after = rules[0].eliminate(losses), rules[1].eliminate(losses[order])
    np.testing.assert_allclose(after.scores, before.scores[order], rtol=1e-3, atol=1e-3)
    assert order[after.incumbent] == before.incumbent


def test_models_without_differences_change_nothing() -> None:
    losses = losses_of_grid(0)[:, :2]
    plain = RaceRule(n_instances=10).eliminate(losses)
    same = RaceRule(n_instances=10, models=[{"a": 1}] * len(GRID)).eliminate(losses)
    np.testing.assert_array_equal(same.scores, plain.scores)
    assert same.kept == plain.kept


def test_a_rule_with_models_pickles() -> None:
    rule = RaceRule(n_instances=10, models=GRID)
    losses = losses_of_grid(0)[:, :2]
    again = pickle.loads(pickle.dumps(rule))
    assert again.eliminate(losses).kept == rule.eliminate(losses).kept


def test_bad_models_of_a_rule() -> None:
    with pytest.raises(ValueError, match="hyperparameters of 48 models, but losses of 3"):
        RaceRule(models=GRID).eliminate(np.zeros((3, 2)))
    with pytest.raises(TypeError, match=r"models\[0\] must be"):
        RaceRule(models=["a"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="distributions have no effect without models"):
        RaceRule(distributions=[{}])


# --- robust_select -------------------------------------------------------------------------------


def select(losses: FloatArray, models: Any = None, **options: Any) -> Any:
    objective = of_table(losses)
    models = [{"model": i, "x": i / 40} for i in range(len(losses))] if models is None else models
    options = {"criterion": "mean", "n_instances": losses.shape[1], **options}
    return robust_select(objective, models, **options)


def smooth_losses(seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    return 3.0 * np.abs(np.arange(40) / 40 - 0.4)[:, None] + 0.5 * rng.normal(size=(40, 8))


def test_a_selection_is_informed_unless_it_shall_not_be() -> None:
    losses = smooth_losses()
    default, informed, plain = (
        select(losses, tolerance=0.05, **options)
        for options in ({}, {"informed": True}, {"informed": False})
    )
    assert default.n_trainings == informed.n_trainings
    assert default.losses.shape == informed.losses.shape
    assert default.n_trainings != plain.n_trainings


def test_distributions_of_a_space_are_used() -> None:
    space = {"lr": FloatDistribution(1e-4, 1.0, log=True)}
    rng = np.random.default_rng(0)

    def objective(trial: optuna.Trial, instance: Any) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
        return float(abs(np.log10(lr) + 2.0) + 0.1 * instance.rng.normal())

    del rng
    found = robust_select(objective, space, n_models=30, n_instances=5, tolerance=0.5)
    assert abs(np.log10(found.best_params["lr"]) + 2.0) < 0.5


@pytest.mark.parametrize("informed", [True, False])
def test_informed_with_a_rule_that_cannot_use_it_is_an_error(informed: bool) -> None:
    losses = smooth_losses()
    with pytest.raises(
        ValueError, match=f"informed has no effect .* leave out informed={informed}"
    ):
        select(losses, rule="halving", informed=informed)
    with pytest.raises(ValueError, match="informed is the rule's own"):
        select(losses, rule=get_rule("race", criterion="mean", n_instances=8), informed=informed)
    select(losses, rule="halving")


def test_informed_is_a_boolean() -> None:
    with pytest.raises(TypeError, match="informed must be True or False"):
        select(smooth_losses(), informed="yes")


# --- the pruner ----------------------------------------------------------------------------------

SPACE = {"x": FloatDistribution(0.0, 1.0)}


def study_with(n_trials: int, **options: Any) -> optuna.Study:
    """Trials whose losses are about 5 x."""
    rng = np.random.default_rng(0)
    study = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=RobustnessPruner(criterion="mean", rule="race", n_instances=6, **options),
    )
    for x in rng.random(n_trials):
        losses = 5.0 * x + 0.5 * rng.normal(size=6)
        study.add_trial(
            create_trial(
                params={"x": float(x)},
                distributions=SPACE,
                value=float(losses.mean()),
                state=TrialState.COMPLETE,
                intermediate_values=dict(enumerate(losses.tolist())),
            )
        )
    return study


def is_stopped(study: optuna.Study, x: float, loss: float) -> bool:
    study.enqueue_trial({"x": x})
    trial = study.ask(SPACE)
    trial.report(loss, 0)
    return trial.should_prune()


def test_hyperparameters_stop_a_lucky_trial_and_spare_an_unlucky_one() -> None:
    """The worse trials like it are, the better a first loss must be."""
    informed, plain = study_with(60), study_with(60, informed=False)
    limits = {
        (study.pruner._is_informed, x): next(  # type: ignore[attr-defined]
            loss for loss in np.arange(0.2, 6.0, 0.2) if is_stopped(study, x, float(loss))
        )
        for study in (informed, plain)
        for x in (0.01, 0.9)
    }
    assert limits[False, 0.01] == limits[False, 0.9]
    assert limits[True, 0.9] < limits[True, 0.01]


def test_the_fit_is_kept_for_some_trials() -> None:
    study = study_with(40)
    assert is_stopped(study, 0.9, 4.5)
    pruner = study.pruner
    kept = pruner._informed[study]  # type: ignore[attr-defined]
    is_stopped(study, 0.5, 2.0)
    assert pruner._informed[study] is kept  # type: ignore[attr-defined]
    for trial in study_with(12).trials:
        study.add_trial(trial)
    is_stopped(study, 0.5, 2.0)
    assert pruner._informed[study] is not kept  # type: ignore[attr-defined]


def test_few_trials_are_as_without() -> None:
    for x, loss in ((0.9, 0.5), (0.5, 3.0), (0.1, 9.0)):
        assert is_stopped(study_with(8), x, loss) == is_stopped(
            study_with(8, informed=False), x, loss
        )


def test_an_informed_pruner_pickles() -> None:
    study = study_with(40)
    is_stopped(study, 0.9, 4.5)
    again = pickle.loads(pickle.dumps(study.pruner))
    study.pruner = again
    assert is_stopped(study, 0.9, 4.5)


def test_a_good_trial_is_seldom_stopped() -> None:
    """The chance is at most alpha that the best of all is stopped, whatever its parameters say."""
    n_stopped = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        study = study_with(30)
        losses = -0.2 + 0.5 * rng.normal(size=6)
        x = float(rng.random()) * 0.2
        n_stopped += is_stopped(study, x, float(losses[0]))
    assert n_stopped <= 5  # binomial, 0.05: 0.986


@pytest.mark.parametrize("rule", ["halving", "directed-welch", None])
def test_informed_is_for_the_race(rule: str | None) -> None:
    options: dict[str, Any] = {"max_spread": 1.0} if rule is None else {}
    with pytest.raises(ValueError, match="informed has no effect with rule="):
        RobustnessPruner(rule=rule, informed=True, **options)
    with pytest.raises(TypeError, match="informed must be True or False"):
        RobustnessPruner(rule="race", informed=1)  # type: ignore[arg-type]
