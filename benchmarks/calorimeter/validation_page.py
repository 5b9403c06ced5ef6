"""The validation as a page of figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]
from plotly.subplots import make_subplots  # type: ignore[import-untyped]

from benchmarks.calorimeter import facts
from benchmarks.calorimeter import validation
from benchmarks.calorimeter.events import Events
from benchmarks.calorimeter.setting import DATASETS
from benchmarks.calorimeter.setting import N_SIDE


_COLOURS = {"A": "#1f77b4", "B": "#d62728"}
_SHOWN_ENERGY = 10.0
_N_EXAMPLES = 4
# Example events are drawn logarithmically, down to this deposit in GeV.
_FAINTEST = 1e-3


def facts_table(events: Mapping[str, Events]) -> str:
    """Return published and simulated figures as a Markdown table."""
    lines = ["| data set | figure | published | simulated |", "|---|---|---|---|"]
    for name, each in events.items():
        for figure, value in asdict(facts.measure(each)).items():
            published = facts.PUBLISHED[name].get(figure)
            known = "" if published is None else f"{published:.3g}"
            lines.append(f"| {name} | {figure.replace('_', ' ')} | {known} | {value:.3g} |")
    return "\n".join(lines)


def figures(events: Mapping[str, Events], *, n: int, seed: int) -> list[go.Figure]:
    """Return all figures.

    Args:
        events:
            Of each data set.
        n:
            Events of each energy, for responses.
        seed:
            For these.
    """
    return [
        _response_figure(n, seed),
        _containment_figure(),
        _s_curve_figure(4 * n, seed),
        _truth_figure(events),
        *(_examples_figure(name, each) for name, each in events.items()),
    ]


def _response_figure(n: int, seed: int) -> go.Figure:
    figure = make_subplots(1, 2, subplot_titles=["Linearity", "Resolution"])
    fine = np.geomspace(validation.ENERGIES[0], validation.ENERGIES[-1], 100)
    for name, setting in DATASETS.items():
        colour = _COLOURS[name]
        real = validation.response(setting, n=n, seed=seed)
        deep = validation.response(setting, n=n, seed=seed, deep=True)
        figure.add_scatter(
            x=real.energy,
            y=real.mean,
            error_y={"array": real.spread / np.sqrt(n)},
            name=f"{name}: mean sum / E",
            marker_color=colour,
        )
        for found, symbol, what in (
            (real, "circle", "simulated"),
            (deep, "circle-open", "simulated, no leakage at the back"),
        ):
            figure.add_scatter(
                x=found.energy,
                y=found.spread,
                error_y={"array": found.spread / np.sqrt(2 * n)},
                mode="markers",
                marker={"color": colour, "symbol": symbol},
                name=f"{name}: {what}",
                row=1,
                col=2,
            )
        figure.add_scatter(
            x=fine,
            y=validation.resolution_put_in(setting, fine),
            name=f"{name}: put in, a/√E ⊕ b ⊕ c/E",
            line={"color": colour, "dash": "dot"},
            row=1,
            col=2,
        )
    figure.update_xaxes(type="log", title="E, GeV")
    figure.update_yaxes(title="mean of sum / E", row=1, col=1)
    figure.update_yaxes(type="log", title="relative standard deviation of the sum", row=1, col=2)
    return figure.update_layout(title=f"Normal incidence, no pile-up, {n} events a point")


def _containment_figure() -> go.Figure:
    figure = go.Figure()
    for name, setting in DATASETS.items():
        found = validation.containment(setting, _SHOWN_ENERGY)
        figure.add_scatter(
            x=found.half_width,
            y=found.simulated,
            mode="markers",
            marker_color=_COLOURS[name],
            name=f"{name}: squares of 1, 3, 5, … cells",
        )
        figure.add_scatter(
            x=found.half_width,
            y=found.analytic,
            line={"color": _COLOURS[name], "dash": "dot"},
            name=f"{name}: analytic profile",
        )
    figure.update_xaxes(title="half width of the square, cm").update_yaxes(title="share of E")
    return figure.update_layout(
        title=f"Containment of an average shower of {_SHOWN_ENERGY:g} GeV, light not spread"
    )


def _s_curve_figure(n: int, seed: int) -> go.Figure:
    figure = make_subplots(1, 2, subplot_titles=[f"Data set {name}" for name in DATASETS])
    for column, setting in enumerate(DATASETS.values(), start=1):
        for n_side in (3, N_SIDE):
            found = validation.s_curve(
                setting, energy=_SHOWN_ENERGY, n_side=n_side, n=n, seed=seed
            )
            figure.add_scatter(
                x=found.position,
                y=found.pull,
                error_y={"array": found.error},
                name=f"{n_side} x {n_side} cells of {setting.cell_size:.3g} cm",
                row=1,
                col=column,
            )
    figure.update_xaxes(title="x, cm").update_yaxes(title="mean of barycentre - x, cm")
    return figure.update_layout(
        title=f"The barycentre's S-curve at {_SHOWN_ENERGY:g} GeV: normal incidence, no pile-up"
    )


def _truth_figure(events: Mapping[str, Events]) -> go.Figure:
    titles = ["E, GeV", "theta_x, rad", "hottest cell / E", "hottest cell, GeV"]
    figure = make_subplots(1, 4, subplot_titles=titles)
    for name, each in events.items():
        hottest = each.cells.max(axis=(1, 2))
        columns = each.energy, each.theta_x, hottest / each.energy, hottest
        for place, values in enumerate(columns, start=1):
            heights, edges = np.histogram(values, bins=60)
            figure.add_scatter(
                x=(edges[1:] + edges[:-1]) / 2.0,
                y=heights,
                line={"color": _COLOURS[name], "shape": "hvh"},
                name=name,
                showlegend=place == 1,
                row=1,
                col=place,
            )
    figure.update_yaxes(type="log", title="events", row=1, col=1).update_yaxes(type="log")
    return figure.update_layout(title="Photons and hottest cells")


def _examples_figure(name: str, events: Events) -> go.Figure:
    shown = events.take(np.arange(min(_N_EXAMPLES, len(events))))
    titles = [
        f"{energy:.1f} GeV at ({x:.2f}, {y:.2f}) cm"
        for energy, x, y in zip(shown.energy, shown.x, shown.y, strict=True)
    ]
    figure = make_subplots(1, len(shown), subplot_titles=titles)
    for column, cells in enumerate(shown.cells, start=1):
        figure.add_heatmap(
            z=np.log10(np.maximum(cells, _FAINTEST)),
            coloraxis="coloraxis",
            row=1,
            col=column,
        )
    figure.update_yaxes(scaleanchor="x")
    return figure.update_layout(
        title=f"Data set {name}: log10 of deposits in GeV",
        coloraxis={"colorscale": "Viridis", "cmin": np.log10(_FAINTEST)},
    )
