"""The figures that the dashboard and the HTML report show, and what to look for in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import NamedTuple
from typing import TYPE_CHECKING

from optuna_robust import visualization


if TYPE_CHECKING:
    from optuna.study import Study
    import plotly.graph_objects as go  # type: ignore[import-untyped]

    from optuna_robust.summary import StudyReport


# Models in the dashboard's figures, which stand in the study: whoever reads an attribute of it
# reads them, too.
_IN_DASHBOARD: dict[str, dict[str, Any]] = {
    "instance-losses": {"n_models": 20},
    "level-spread": {"n_models": 200},
    "selection-path": {"n_models": 60},
    "trainings": {},
    "optimism": {},
}


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
    title: str
    hints: tuple[str, str]
    plot: Callable[..., go.Figure]


_KINDS = {
    "instance-losses": _Kind(
        "Losses of instances",
        (
            "Look for boxes that are on the good side and narrow: such a model is good whenever "
            "it is trained.",
            "A model whose best point beats all others, but whose box is wide, was lucky.",
        ),
        visualization.plot_instance_losses,
    ),
    "level-spread": _Kind(
        "Level and spread",
        (
            "Look at the models on the line: no other one is both better and more stable than "
            "they are.",
            "If the best level has a much wider spread than its neighbours on the line, think "
            "about one of them.",
        ),
        visualization.plot_level_spread,
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
    ),
    "trainings": _Kind(
        "Trainings",
        (
            "Look at how far the trainings stay below the line of training every model "
            "completely: that is what stopping saved.",
            "If nearly all models are left at the last step, the rule has stopped little, and "
            "fewer instances may do.",
        ),
        visualization.plot_trainings,
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
    return _figures(study, found, _IN_DASHBOARD)


def report_figures(study: Study, found: StudyReport) -> list[MainFigure]:
    """Return all figures of a study that there are data for.

    Args:
        study:
            The study.
        found:
            What there is to report of it.
    """
    return _figures(study, found, {name: {} for name in _KINDS})


def _figures(
    study: Study, found: StudyReport, chosen: dict[str, dict[str, Any]]
) -> list[MainFigure]:
    if not found.is_robust:
        return []
    shown = []
    for name, kind in _KINDS.items():
        if name in chosen:
            figure = kind.plot(study, **chosen[name])
            if figure.data:
                shown.append(MainFigure(f"robust-{name}", kind.title, kind.hints, figure))
    return shown
