"""The figures that the dashboard and the HTML report show, and what to look for in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal
from typing import NamedTuple
from typing import TYPE_CHECKING

from optuna_robust._instances import trials
from optuna_robust._reporting import visualization


if TYPE_CHECKING:
    from optuna.study import Study
    import plotly.graph_objects as go  # type: ignore[import-untyped]

    from optuna_robust._reporting.summary import StudyReport
    from optuna_robust._running.store import InstanceStore


# Figures for the dashboard stand in the study: whoever reads an attribute of it reads them, too.
_IN_DASHBOARD = ("instance-losses", "level-spread", "selection-path", "trainings", "optimism")
_MOST_CHARACTERS = 60_000


class MainFigure(NamedTuple):
    """A figure, and what to look for in it.

    Attributes:
        name: Its identifier, in HTML and in the dashboard.
        title: What it shows.
        hints: Two sentences.
        figure: The figure.
    """

    name: str
    title: str
    hints: tuple[str, str]
    figure: go.Figure


class _Kind(NamedTuple):
    """A kind of figure.

    Attributes:
        title: What it shows.
        hints: Two sentences: what to look for.
        plot: Draws it.
        needs: What it is drawn of.
        n_models: How many models the dashboard's figure shows at most; None: that is not chosen.
    """

    title: str
    hints: tuple[str, str]
    plot: Callable[..., go.Figure]
    needs: Literal["instances", "confirmation", "curves"] = "instances"
    n_models: int | None = None


_KINDS = {
    "instance-losses": _Kind(
        "Losses of instances",
        (
            "Look for boxes that are on the good side and narrow: such a model is good whenever "
            "it is trained.",
            "A model whose best point beats all others, but whose box is wide, was lucky.",
        ),
        visualization.plot_instance_losses,
        n_models=20,
    ),
    "level-spread": _Kind(
        "Level and spread",
        (
            "Look at the models on the dotted line: no other one is both better and more stable.",
            "Where the line bends, a little quality buys much stability.",
        ),
        visualization.plot_level_spread,
        n_models=160,
    ),
    "selection-path": _Kind(
        "Selection path",
        (
            "Look at the right end: where lines still cross there, more instances are needed to "
            "tell these models apart.",
            "A grey line ends, with a cross, where a model was stopped; one that ends among the "
            "best may have been stopped too early.",
        ),
        visualization.plot_selection_path,
        n_models=60,
    ),
    "trainings": _Kind(
        "Trainings",
        (
            "Look at how far the trainings stay below the dashed line of training every model "
            "completely: that is what stopping saved.",
            "If nearly all models are alive at the last step, the rule has stopped little.",
        ),
        visualization.plot_trainings,
    ),
    "optimism": _Kind(
        "Optimism of the search",
        (
            "Look at how far the search's circles lie on the better side of the diamonds of fresh "
            "instances, at equal numbers of instances: so much of them was luck.",
            "Models whose intervals overlap widely may be equally good.",
        ),
        visualization.plot_optimism,
        needs="confirmation",
        n_models=20,
    ),
    "criteria": _Kind(
        "Criteria",
        (
            "Look at the gap between the curve of the best instance and the others: the wider it "
            "is, the more of a single good training is luck.",
            "A criterion whose curve is steep hardly tells the models apart.",
        ),
        visualization.plot_criteria,
    ),
    "instance-effect": _Kind(
        "Instance effect",
        (
            "Look for stripes from top to bottom: these instances (seeds, samples) are harder, or "
            "easier, for all models, and comparing models on the same instances cancels that.",
            "What has no stripes is each model's own noise.",
        ),
        visualization.plot_instance_effect,
    ),
    "learning-curves": _Kind(
        "Learning curves",
        (
            "Look where the bundles of two models come apart: before, epochs cannot tell which "
            "one is better.",
            "Thin lines are instances, thick ones their medians.",
        ),
        visualization.plot_learning_curves,
        needs="curves",
    ),
    "rank-correlation": _Kind(
        "Rank correlation with the last epoch",
        (
            "Look from which epoch on the curve is near 1: from there on models are ranked as in "
            "the end.",
            "Where it is low, pruning on epochs drops models that would have been among the best.",
        ),
        visualization.plot_rank_correlation,
        needs="curves",
    ),
    "top-overlap": _Kind(
        "Overlap of the best with those of the last epoch",
        (
            "Look how many of the models that are best in the end are among the best at an epoch.",
            "A pruner that looks where the curve is near the dotted line of chance keeps the "
            "wrong ones.",
        ),
        visualization.plot_top_overlap,
        needs="curves",
    ),
}


def dashboard_figures(study: Study, found: StudyReport) -> list[MainFigure]:
    """Return the figures that a study keeps for the dashboard, with few enough points.

    Args:
        study:
            The study.
        found:
            What there is to report of it.
    """
    return [
        shown
        for name in _IN_DASHBOARD
        if _is_possible(_KINDS[name], found, has_curves=False)
        for shown in _shown(name, _small(_KINDS[name], study))
    ]


def report_figures(
    study: Study, found: StudyReport, store: InstanceStore | None
) -> list[MainFigure]:
    """Return all figures of a study that there are data for.

    Args:
        study:
            The study.
        found:
            What there is to report of it.
        store:
            Where the learning curves of its instances are; None: those that trials keep are
            shown.
    """
    has_curves = store is not None or any(
        trials.LEARNING_CURVES in trial.user_attrs for trial in study.get_trials(deepcopy=False)
    )
    return [
        shown
        for name, kind in _KINDS.items()
        if _is_possible(kind, found, has_curves=has_curves)
        for shown in _shown(
            name, kind.plot(study, **({"store": store} if kind.needs == "curves" else {}))
        )
    ]


def _is_possible(kind: _Kind, found: StudyReport, *, has_curves: bool) -> bool:
    if kind.needs == "confirmation":
        return found.confirmation is not None
    return found.is_robust and (kind.needs == "instances" or has_curves)


def _shown(name: str, figure: go.Figure) -> list[MainFigure]:
    """Return the figure, if there is something in it."""
    kind = _KINDS[name]
    return [MainFigure(f"robust-{name}", kind.title, kind.hints, figure)] if figure.data else []


def _small(kind: _Kind, study: Study) -> go.Figure:
    """Return a figure of so many models as the study can keep."""
    if kind.n_models is None:
        return kind.plot(study)
    n_models = kind.n_models
    while True:
        figure = kind.plot(study, n_models=n_models)
        if n_models == 1 or len(figure.to_json()) <= _MOST_CHARACTERS:
            return figure
        n_models = max(1, n_models * 2 // 3)
