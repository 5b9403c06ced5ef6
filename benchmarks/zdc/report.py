"""What the study of generators says: an answer, a table, and figures."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]
from plotly.subplots import make_subplots  # type: ignore[import-untyped]
import torch

from benchmarks.text_tables import markdown_table
from benchmarks.zdc.judge import ENERGIES
from benchmarks.zdc.showers import at_energy
from benchmarks.zdc.showers import SIDE
from benchmarks.zdc.study import Distance
from benchmarks.zdc.study import JUDGE_SEED
from benchmarks.zdc.study import sample
from benchmarks.zdc.training import train
from optuna_robust import Instance
from optuna_robust import SelectionResult
from optuna_robust.comparison import holm
from optuna_robust.comparison import paired_criterion_test
from optuna_robust.comparison import probability_of_best


_CRITERION = "mean"
_LEVEL = 0.05
_N_SHOWN = 3
_ENERGY = ENERGIES[2]
_COLOURS = {"default": "#1f77b4", "extended 2": "#ff7f0e"}
_PUBLISHED = (
    "Reported (Zero Degree Calorimeter fast simulation, 2025): w = 200, 500 and 1000 were tried, "
    "and 200 was chosen by looking at one event; on 120 events the outcome fell into three "
    "classes, the wanted one the rarest; with five times more data the default network with w = 1 "
    "did as well."
)


def answer(studied: dict[int, SelectionResult]) -> str:
    """Return in sentences which generator is best, and whether the default one catches up."""
    sentences = []
    for size, result in studied.items():
        probabilities = probability_of_best(result.losses, criterion=_CRITERION)
        best = int(np.argmin(result.losses.mean(axis=1)))
        rivals = [losses for row, losses in enumerate(result.losses) if row != best]
        p_values = [
            paired_criterion_test(losses, result.losses[best], _CRITERION).p_value
            for losses in rivals
        ]
        n_apart = int((holm(p_values) < _LEVEL).sum())
        n_instances = result.losses.shape[1]
        sentences.append(
            f"With samples of {size}, {_name(result, best)} is the best by the mean distance "
            f"({result.losses[best].mean():.2f}), with a probability of "
            f"{probabilities[best]:.2f}; "
            + (
                f"{n_apart} of the other {len(rivals)} are clear of it (Holm, 5 %)."
                if 2.0 ** (1 - n_instances) <= _LEVEL
                else f"{n_instances} instances are too few for tests of pairs."
            )
        )
    return " ".join([*sentences, _caught_up(studied)])


def _caught_up(studied: dict[int, SelectionResult]) -> str:
    small, large = min(studied), max(studied)
    if small == large:
        return ""
    plain = next(
        row
        for row, model in enumerate(studied[large].models)
        if model["network"] == "default" and model["w"] == 1
    )
    before, after = (studied[size].losses[plain].mean() for size in (small, large))
    best = studied[small].losses.mean(axis=1).min()
    return (
        f"The default network with w = 1 goes from {before:.2f} to {after:.2f} with "
        f"{large / small:g} times the data; the best generator of the small samples has "
        f"{best:.2f}."
    )


def text_of(studied: dict[int, SelectionResult]) -> str:
    """Return the table as Markdown."""
    rows = [
        [
            str(size),
            str(model["network"]),
            str(model["w"]),
            f"{losses.mean():.3f} ± {losses.std(ddof=1):.3f}",
            f"{losses.min():.3f} to {losses.max():.3f}",
            f"{probability:.2f}",
        ]
        for size, result in studied.items()
        for model, losses, probability in zip(
            result.models,
            result.losses,
            probability_of_best(result.losses, criterion=_CRITERION),
            strict=True,
        )
    ]
    head = ["samples of", "network", "w", "distance, mean ± std", "range", "P(best)"]
    return "\n\n".join(
        [
            markdown_table(head, rows),
            "Distance: 0, images are distributed as simulated ones; 1, as far off as empty ones "
            "(deposits, and numbers of cells that are hit). w does not scale it.",
            _PUBLISHED,
        ]
    )


def distances_figure(studied: dict[int, SelectionResult]) -> go.Figure:
    """Show the distance of every instance by w, network and sample size."""
    figure = make_subplots(
        cols=len(studied), shared_yaxes=True, subplot_titles=[f"samples of {n}" for n in studied]
    )
    for column, result in enumerate(studied.values(), 1):
        for network, colour in _COLOURS.items():
            rows = [n for n, each in enumerate(result.models) if each["network"] == network]
            weights = [str(result.models[row]["w"]) for row in rows]
            figure.add_box(
                x=np.repeat(weights, result.losses.shape[1]),
                y=result.losses[rows].ravel(),
                boxpoints="all",
                pointpos=0,
                name=network,
                marker_color=colour,
                legendgroup=network,
                showlegend=column == 1,
                row=1,
                col=column,
            )
        figure.update_xaxes(title="w", type="category", row=1, col=column)
    return figure.update_layout(
        template="plotly_white",
        title="Distance from simulated images",
        boxmode="group",
        legend={"orientation": "h", "y": -0.25},
    ).update_yaxes(title="distance", col=1)


def images_figure(objective: Distance, result: SelectionResult) -> go.Figure:
    """Show images of three instances of the best generator beside simulated ones."""
    best = result.models[int(np.argmin(result.losses.mean(axis=1)))]
    model = objective.recipe.model(str(best["network"]), float(str(best["w"])))
    settings = result.settings
    images = []
    for number in range(_N_SHOWN):
        instance = Instance(number, int(settings["seed"]))
        network = train(model, sample(objective.recipe, objective.sample_size, instance), instance)
        images.append(network.images(torch.tensor([[_ENERGY]])).numpy()[0])
    simulated = at_energy(_ENERGY, objective.recipe.n_judged, JUDGE_SEED)[:_N_SHOWN]
    titles = [f"instance {number}" for number in range(_N_SHOWN)]
    titles += [f"simulated {number}" for number in range(_N_SHOWN)]
    figure = make_subplots(2, _N_SHOWN, subplot_titles=titles, vertical_spacing=0.12)
    for place, image in enumerate([*images, *simulated]):
        row, column = divmod(place, _N_SHOWN)
        figure.add_heatmap(
            z=np.where(image > 0, image, np.nan),
            coloraxis="coloraxis",
            row=row + 1,
            col=column + 1,
        )
    return (
        figure.update_layout(
            template="plotly_white",
            title=f"{_ENERGY:g} GeV: {best['network']}, w = {best['w']},<br>"
            f"samples of {objective.sample_size}",
            coloraxis={"colorscale": "Viridis", "colorbar": {"title": "GeV"}},
            height=600,
        )
        .update_xaxes(showticklabels=False, range=[-0.5, SIDE - 0.5])
        .update_yaxes(showticklabels=False, range=[-0.5, SIDE - 0.5])
    )


def _name(result: SelectionResult, row: int) -> str:
    return f"the {result.models[row]['network']} network with w = {result.models[row]['w']}"
