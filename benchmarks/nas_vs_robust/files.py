"""What the benchmark leaves: JSON, HDF5, Markdown, and a page with figures."""

from __future__ import annotations

from dataclasses import asdict
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nas_vs_robust import statistics
from benchmarks.nas_vs_robust.figures import figures
from benchmarks.nas_vs_robust.figures import lead_figure
from benchmarks.nas_vs_robust.plan import Outcome
from benchmarks.nas_vs_robust.plan import REFERENCE
from benchmarks.nas_vs_robust.report import as_markdown
from benchmarks.nas_vs_robust.report import details
from benchmarks.nas_vs_robust.report import Findings
from benchmarks.nas_vs_robust.report import lead
from benchmarks.nas_vs_robust.statistics import Comparison
from benchmarks.nas_vs_robust.statistics import CONFIRMED
from benchmarks.nas_vs_robust.verdict import verdict
from benchmarks.pages import write_page


def write(folder: Path, stem: str, found: Findings) -> str:
    """Write all files, and return the report's text.

    Args:
        folder:
            Where they go.
        stem:
            Their name without a suffix.
        found:
            What they are about.
    """
    text = as_markdown(found)
    (folder / f"{stem}.md").write_text(text, encoding="utf-8")
    (folder / f"{stem}.json").write_text(
        json.dumps(as_json(found), indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    write_page(
        folder / f"{stem}.html",
        figures(found),
        details(found),
        f"nas-vs-robust: {found.about['task']}",
        first=(lead(found), lead_figure(found)),
    )
    _write_hdf5(folder / f"{stem}.h5", found)
    return text


def as_json(found: Findings) -> dict[str, Any]:
    """Return the findings as plain JSON values; what is not finite is null."""
    plain: dict[str, Any] = _finite(
        {
            **found.about,
            "verdict": verdict(found.outcomes),
            "budgets": found.budgets,
            "arms": [_outcome(each) for each in found.outcomes],
            "rows": [
                {"name": row.name, "fresh_losses": row.fresh_losses, "confirmed": _by_size(row)}
                for row in found.rows
            ],
            "paired": {
                "reference": REFERENCE,
                "difference": f"arm - {REFERENCE}, mean over seeds with a 95 % t interval",
                "test": statistics.TEST,
                "arms": [
                    {"trainings": trainings, **_comparison(each)}
                    for trainings in found.budgets
                    for each in statistics.compare(
                        statistics.at_budget(found.outcomes, trainings),
                        by_ratio=statistics.has_ratios(found.outcomes),
                    )
                ],
            },
            "equal_seconds": {
                "n_fresh": found.n_timed,
                "arms": [_outcome(each, found.n_timed) for each in found.timed],
                "paired": [
                    _comparison(each) for each in statistics.compare(found.timed, found.n_timed)
                ],
            },
        }
    )
    return plain


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {**asdict(comparison), "shows": comparison.shows}


def _outcome(outcome: Outcome, n: int | None = None) -> dict[str, Any]:
    """Return an outcome, confirmed by its first n fresh instances (default: all)."""
    fields = asdict(outcome)
    search = fields.pop("search")
    return {
        "name": search["arm"],
        "seed": search["seed"],
        "budget": search["trainings"],
        **fields,
        "search_value": statistics.search_value(outcome),
        "optimism": statistics.optimism(outcome),
        "confirmed": _confirmed(outcome.fresh(n)),
    }


def _confirmed(losses: tuple[float, ...]) -> dict[str, Any]:
    estimates = {name: statistics.confirmed(losses, name) for name in CONFIRMED}
    return {
        **{name: estimate.value for name, estimate in estimates.items()},
        "n": len(losses),
        "failures": statistics.n_failures(losses),
        "intervals": {
            name: [estimate.low, estimate.high]
            for name, estimate in estimates.items()
            if name != "worst"
        },
    }


def _by_size(row: Any) -> dict[int, dict[str, Any]]:
    return {size: _confirmed(losses) for size, losses in row.fresh_losses.items()}


def _finite(value: Any) -> Any:
    """Return plain JSON values, with null in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _write_hdf5(path: Path, found: Findings) -> None:
    """Write losses: ``arms/ARM/BUDGET/SEED``, ``equal_seconds/ARM/BUDGET/SEED``, ``rows/NAME``.

    Each has fresh losses by sample size, searches also those that the winner was chosen by.
    """
    import h5py  # noqa: PLC0415

    with h5py.File(path, "w") as file:
        file.attrs["about"] = json.dumps(_finite(found.about))
        for kind, outcomes in (("arms", found.outcomes), ("equal_seconds", found.timed)):
            for outcome in outcomes:
                search = outcome.search
                group = file.create_group(f"{kind}/{search.arm}/{search.trainings}/{search.seed}")
                group.attrs["params"] = json.dumps(outcome.params)
                group.attrs["criterion"] = outcome.criterion
                for name in ("n_trainings", "n_models", "n_pruned", "seconds"):
                    group.attrs[name] = getattr(outcome, name)
                group["search_losses"] = np.array(outcome.search_losses)
                _write_fresh(group, outcome.fresh_losses)
        for row in found.rows:
            _write_fresh(file.create_group(f"rows/{row.name}"), row.fresh_losses)


def _write_fresh(group: Any, fresh_losses: dict[int, tuple[float, ...]]) -> None:
    for size, losses in fresh_losses.items():
        group[f"fresh_losses/{size}"] = np.array(losses)
