from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import optuna
import pytest

import optuna_robust as opr
from optuna_robust._reporting.visualization._level_spread import _front
from optuna_robust._reporting.visualization._level_spread import _get_level_spread_info
from optuna_robust._reporting.visualization._level_spread import _LevelSpreadInfo
from optuna_robust._reporting.visualization._models import models_of
from optuna_robust.criteria import get_criterion
from optuna_robust.visualization import plot_level_spread
from tests.reporting.visualization.sources import axis_titles
from tests.reporting.visualization.sources import confirmation_of
from tests.reporting.visualization.sources import drawn
from tests.reporting.visualization.sources import many
from tests.reporting.visualization.sources import model_of
from tests.reporting.visualization.sources import selection_of
from tests.reporting.visualization.sources import study_of
from tests.reporting.visualization.sources import WORST


MEDIAN, IQR = get_criterion("median"), get_criterion("iqr")


def info_of(study: optuna.Study, n_models: int = 1000) -> _LevelSpreadInfo:
    return _get_level_spread_info(models_of(study), n_models, MEDIAN, IQR, None)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_info_holds_level_spread_and_front(direction: str) -> None:
    sign = -1.0 if direction == "maximize" else 1.0
    # Level 2 spread 0.5, level 1 spread 2 (better, less stable), level 3 spread 2 (neither),
    # pruned with the smallest spread, pruned without any.
    losses = [[1.5, 2.0, 2.5, 2.0, 1.0], [0.0, 1.0, 2.0, 3.0, 0.0], [2, 3, 4, 5, 2], [1, 1.1], [0]]
    oriented = [[sign * loss for loss in row] for row in losses]
    info = info_of(study_of(oriented, direction=direction))
    assert info.numbers == [0, 1, 2, 3]
    assert info.levels == pytest.approx([sign * 2, sign * 1, sign * 3, sign * 1.05])
    assert info.spreads == pytest.approx([0.5, 2.0, 2.0, 0.05])
    assert info.finished == [True, True, True, False]
    assert info.front == [1, 0]
    assert info.best == 1
    assert (info.n_models, info.n_without_spread) == (5, 1)
    assert info.hovers[0].split("<br>") == [
        "<b>trial 0</b> (complete)",
        f"median {sign * 2:g}",
        "IQR 0.5",
        "n = 5 instances",
        "model = 0",
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()), min_size=1, max_size=30
    )
)
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, int, bool]]) -> None:
    levels, spreads = (np.array([p[i] for p in points], dtype=np.float64) for i in (0, 1))
    eligible = np.array([p[2] for p in points])
    front = _front(levels, spreads, eligible)
    on_front = {(levels[row], spreads[row]) for row in front}
    for row in np.flatnonzero(eligible):
        dominated = any(
            eligible[other]
            and levels[other] <= levels[row]
            and spreads[other] <= spreads[row]
            and (levels[other], spreads[other]) != (levels[row], spreads[row])
            for other in range(len(points))
        )
        assert ((levels[row], spreads[row]) in on_front) != dominated
    assert all(eligible[row] for row in front)
    assert len(on_front) == len(front)


def test_everything_is_drawn_and_infinite_spreads_are_at_the_edge() -> None:
    study = study_of([[1.0, 2.0, 3.0], [1.0, 1.5, 2.5], [1.0, WORST, WORST], [4.0, 5.0]])
    figure = plot_level_spread(study)
    assert drawn(figure) == [
        "pruned",
        "complete",
        "failed or off the scale",
        "best by median",
    ]
    off = figure.data[2]
    assert off.x[0] < figure.layout.xaxis.range[1]
    assert off.y[0] < figure.layout.yaxis.range[1]
    assert axis_titles(figure) == [
        "median of loss (smaller is better)",
        "IQR of loss (smaller is better)",
    ]


def test_the_front_joins_two_models_or_more() -> None:
    figure = plot_level_spread(study_of([[1.0, 5.0, 9.0], [6.0, 6.0, 6.5]]))
    front = next(trace for trace in figure.data if trace.name == "Pareto front")
    assert front.x.tolist() == [5.0, 6.0]
    assert front.y.tolist() == [4.0, 0.25]


def test_confirmed_models_are_joined_with_what_the_search_had_found() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        return trial.suggest_float("x", 0, 1) + 0.1 * float(instance.rng.normal())

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(opr.MultiInstanceObjective(objective, n_instances=5), n_trials=4)
    result = opr.confirm(study, objective, n_models=2, n_instances=6)
    figure = plot_level_spread(study)
    confirmed = figure.data[-1]
    assert confirmed.name == "confirmed, fresh instances"
    # As of the search's five instances: the mean over all five of the six.
    of_five = [
        [np.median(np.delete(losses, left_out)) for left_out in range(6)]
        for losses in result.losses
    ]
    np.testing.assert_allclose(confirmed.x, np.mean(of_five, axis=1))
    assert "n = 6 fresh instances, values as of 5" in confirmed.hovertext[0]
    assert confirmed.hovertext[0].startswith(f"<b>trial {result.models[0].index}, confirmed</b>")
    lines = figure.data[-2]
    assert len(lines.x) == 6
    assert lines.x[1] == pytest.approx(confirmed.x[0])
    assert plot_level_spread(study, confirmation=result).to_json() == figure.to_json()


def test_confirmed_models_have_the_spread_of_the_searchs_number_of_instances() -> None:
    # Of the fresh losses 0, 4, 8 the pairs have the levels 2, 4, 6 and the spreads 2, 4, 2.
    model = model_of(0, search_value=1.5, value=4.0, optimism=2.5, statistic="median", n=2)
    result = confirmation_of(model, losses=[[0.0, 4.0, 8.0]])
    info = _get_level_spread_info(
        models_of(study_of([[1.0, 2.0], [5.0, 9.0]])), 9, MEDIAN, IQR, result
    )
    assert info.confirmed[0][:3] == (0, pytest.approx(4.0), pytest.approx(8.0 / 3.0))
    # A search of more instances, or of one, is compared with all of them.
    for losses in ([[1.0, 2.0, 3.0, 4.0]], [[1.0], [1.0, 2.0]]):
        info = _get_level_spread_info(models_of(study_of(losses)), 9, MEDIAN, IQR, result)
        assert info.confirmed[0][:3] == (0, 4.0, 4.0)


def test_the_front_is_that_of_all_models() -> None:
    # By the median trial 0 is the best; trial 2 is worse than trial 1, but the most stable.
    study = study_of([[1.0, 3.0, 5.0], [3.0, 4.0, 6.0], [7.0, 8.0, 8.1], [9.0, 10.0, 13.0]])
    info = info_of(study, n_models=1)
    assert info.numbers == [0, 1, 2]
    assert [info.numbers[i] for i in info.front] == [0, 1, 2]
    assert (info.n_added, info.best) == (2, 0)
    title = plot_level_spread(study, n_models=1).layout.title.text
    assert "best 1 of 4 trials and 2 more of the Pareto front" in title
    assert info_of(study).n_added == 0


def test_one_instance_has_no_spread(caplog: pytest.LogCaptureFixture) -> None:
    figure = plot_level_spread(study_of([[1.0], [2.0]]))
    assert not figure.data
    assert "Every trial has one instance" in caplog.text
    assert not plot_level_spread(optuna.create_study()).data
    assert not plot_level_spread(study_of([[WORST, WORST]])).data


def test_identical_losses_are_not_perfectly_stable() -> None:
    info = info_of(study_of([[1.0, 1.0, 1.0], [2.0, 2.0, 3.0]]))
    assert info.spreads == [0.0, 0.5]
    assert info.front == [1]


def test_a_thousand_models_are_small_enough_and_can_be_fewer() -> None:
    study = study_of(many(1000, 20).tolist())
    assert len(plot_level_spread(study).to_json()) < 200_000
    few = plot_level_spread(study, n_models=200)
    assert "best 200 of 1000 trials" in few.layout.title.text
    assert len(few.to_json()) < 45_000


def test_a_selection_is_drawn() -> None:
    result = selection_of(many(8, 10), criterion="median", n_warmup_instances=2)
    assert drawn(plot_level_spread(result, level="mean", spread="std"))[:2] == [
        "removed",
        "survivor",
    ]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"level": "std"}, ValueError, "level must be a criterion of level, but was 'std'"),
        ({"spread": "q3+iqr"}, ValueError, "spread must be a criterion of spread"),
        ({"confirmation": 3}, TypeError, "confirmation must be a ConfirmationResult"),
    ],
)
def test_bad_options_are_errors(
    options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plot_level_spread(study_of([[1.0, 2.0]]), **options)  # type: ignore[arg-type]
