"""Where the spread of losses comes from: weights and order, the training sample, or both.

The paper's study (doi:10.1109/ACCESS.2025.3578926): internal sources (initial weights, order of
the data) and external ones (the training sample) are switched on separately and together.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]
from scipy.stats import skew

from benchmarks.calorimeter.inputs import Problem
from benchmarks.calorimeter.inputs import UNITS
from benchmarks.calorimeter.study import Report
from benchmarks.calorimeter.study import Study
from optuna_robust import SelectionResult
from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances.instance import Source
from optuna_robust.comparison import bootstrap_interval
from optuna_robust.criteria import get_criterion


SOURCES_OF: dict[str, tuple[Source, ...]] = {
    "internal": ("init", "order"),
    "external": ("sample",),
    "both": ("init", "order", "sample"),
}
_COLOURS = {"internal": "#0072B2", "external": "#E69F00", "both": "#009E73"}
_FEWEST_FOR_INTERVAL = 10


def run(study: Study, names: Sequence[str], sample_size: int) -> Report:
    """Train every model with each of the sources switched on, and report what they do."""
    models = [{"model": name, "sample_size": sample_size} for name in names]
    results = {
        source: study.train(f"initialization/{source}", models, vary=vary)
        for source, vary in SOURCES_OF.items()
    }
    losses = losses_by_source(results)
    text = f"Training samples of {sample_size} events.\n\n{table(losses)}"
    named = {f"-{source}": result for source, result in results.items()}
    return Report(text, (figure(losses, study.problem),), named)


def losses_by_source(
    results: Mapping[str, SelectionResult],
) -> dict[str, dict[str, FloatArray]]:
    """Return losses by the model's name and the source."""
    found: dict[str, dict[str, FloatArray]] = {}
    for source, result in results.items():
        for model, losses in zip(result.models, result.losses, strict=True):
            found.setdefault(model["model"], {})[source] = losses
    return found


def table(losses: dict[str, dict[str, FloatArray]]) -> str:
    """Return what each source does as a Markdown table, with 95 % bootstrap intervals of the std.

    Spreads are of the instances that did not diverge. If sources act independently, their
    variances add up: the last row of a model is the root of their sum.
    """
    lines = [
        "| model | sources | instances | diverged | median | std | IQR | worst | skewness |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, by_source in losses.items():
        for source, each in by_source.items():
            finite = each[np.isfinite(each)]
            median, worst = get_criterion("median")(each), get_criterion("max")(each)
            lines.append(
                f"| {name} | {source} | {len(each)} | {len(each) - len(finite)} | {median:.4g} | "
                f"{_spread(finite)} | {get_criterion('iqr')(finite):.3g} | {worst:.4g} | "
                f"{_skewness(finite)} |"
            )
        internal, external = (_std(by_source[each]) for each in ("internal", "external"))
        summed = np.hypot(internal, external)
        lines.append(f"| {name} | √(internal² + external²) | | | | {summed:.3g} | | | |")
    return "\n".join(lines)


def _spread(losses: FloatArray) -> str:
    spread = f"{_std(losses):.3g}"
    if len(losses) < _FEWEST_FOR_INTERVAL:
        return spread
    interval = bootstrap_interval(losses, "std")
    return f"{spread} [{interval.low:.3g}, {interval.high:.3g}]"


def _std(losses: FloatArray) -> float:
    return float(np.std(losses[np.isfinite(losses)], ddof=1))


def _skewness(losses: FloatArray) -> str:
    return f"{skew(losses):.2f}" if len(losses) and np.ptp(losses) > 0.0 else ""


def figure(losses: dict[str, dict[str, FloatArray]], problem: Problem) -> go.Figure:
    """Return the figure: a box for each source, with its instances."""
    drawn = go.Figure()
    for source, colour in _COLOURS.items():
        drawn.add_box(
            x=[name for name, by_source in losses.items() for _ in by_source[source]],
            y=np.concatenate([by_source[source] for by_source in losses.values()]),
            name=f"{source}: {', '.join(SOURCES_OF[source])}",
            boxpoints="all",
            marker={"color": colour, "size": 4},
        )
    return drawn.update_layout(
        title="Sources of variation",
        template="plotly_white",
        boxmode="group",
        xaxis_title="model",
        yaxis_title=UNITS[problem],
    )
