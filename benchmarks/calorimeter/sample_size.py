"""Losses against the size of the training sample, with and without the inductive bias.

The paper's study (doi:10.1109/ACCESS.2025.3578926): losses and their spread fall with the size,
and the inductive bias reaches the same spread with much less data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.calorimeter.inputs import Problem
from benchmarks.calorimeter.inputs import UNITS
from benchmarks.calorimeter.study import MODELS
from benchmarks.calorimeter.study import Report
from benchmarks.calorimeter.study import Study
from benchmarks.pages import logarithmic_axis
from optuna_robust import SelectionResult
from optuna_robust._base.arrays import FloatArray
from optuna_robust.comparison import compare_with_reference
from optuna_robust.criteria import get_criterion
from optuna_robust.visualization import plot_sample_size


_CAUTION: dict[Problem, str] = {
    "energy": "Models 1 and 2 differ in optimizer, learning rate, batch size and decay, too.",
    "position": "Models 3 and 4 differ in nothing but the inductive bias.",
}


def run(study: Study, names: Sequence[str], sizes: Sequence[int]) -> Report:
    """Train every model with samples of every size, and report level and spread."""
    models = [{"model": name, "sample_size": size} for size in sizes for name in names]
    result = study.train("sample-size", models)
    losses = losses_by_size(result)
    parts = [table(losses), comparison(losses, study.problem)]
    text = "\n\n".join(part for part in parts if part)
    figure = plot_sample_size(losses, loss_name=UNITS[study.problem])
    # Losses of small samples are many times those of large ones.
    figure.update_yaxes(**logarithmic_axis())
    return Report(text, (figure,), {"": result})


def losses_by_size(result: SelectionResult) -> dict[str, dict[int, FloatArray]]:
    """Return losses by the model's name and the size of the sample."""
    found: dict[str, dict[int, FloatArray]] = {}
    for model, losses in zip(result.models, result.losses, strict=True):
        found.setdefault(model["model"], {})[model["sample_size"]] = losses
    return found


def table(losses: dict[str, dict[int, FloatArray]]) -> str:
    """Return level and spread of every model and size as a Markdown table.

    Spreads are of the instances that did not diverge.
    """
    lines = [
        "| events | model | instances | diverged | median | IQR | std | worst |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size in _sizes(losses):
        for name, by_size in losses.items():
            if size in by_size:
                each = by_size[size]
                finite = each[np.isfinite(each)]
                level, worst = get_criterion("median")(each), get_criterion("max")(each)
                iqr, std = get_criterion("iqr")(finite), get_criterion("std")(finite)
                lines.append(
                    f"| {size} | {name} | {len(each)} | {len(each) - len(finite)} | {level:.4g} | "
                    f"{iqr:.4g} | {std:.4g} | {worst:.4g} |"
                )
    return "\n".join(lines)


def comparison(losses: dict[str, dict[int, FloatArray]], problem: Problem) -> str:
    """Return what the inductive bias changes at each size as a Markdown table; empty without it.

    Instances are the same for both models; those of which one diverged are left out. Levels are
    compared by Wilcoxon's test of pairs, spreads by the test of Pitman (1939) and Morgan (1939),
    both one-sided.
    """
    without, biased = MODELS[problem]
    if not {without, biased} <= losses.keys():
        return ""
    lines = [
        _CAUTION[problem],
        "",
        f"| events | median, {biased} / {without} | p: lower | std, {biased} / {without} | "
        "p: narrower |",
        "|---|---|---|---|---|",
    ]
    for size in _sizes(losses):
        both = np.stack([losses[without][size], losses[biased][size]])
        theirs, ours = both[:, np.isfinite(both).all(axis=0)]
        level = np.median(ours) / np.median(theirs)
        spread = np.std(ours, ddof=1) / np.std(theirs, ddof=1)
        lower, narrower = (
            float(compare_with_reference(theirs[None], ours, test, alternative="greater")[0])
            for test in ("wilcoxon", "pitman-morgan")
        )
        lines.append(f"| {size} | {level:.3f} | {lower:.2g} | {spread:.3f} | {narrower:.2g} |")
    return "\n".join(lines)


def _sizes(losses: dict[str, dict[int, FloatArray]]) -> list[int]:
    return sorted({size for by_size in losses.values() for size in by_size})
