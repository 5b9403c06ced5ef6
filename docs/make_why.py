"""Makes the figures of `why.md`: what searches promise, and what comes out.

Networks of scikit-learn learn handwritten digits from 50 images; the loss is the error in %.
`python docs/make_why.py [FILE]` keeps the losses in FILE, or reads them there (minutes on 2 cores;
needs the extras `bench` and `docs`, and Chromium).
"""

from __future__ import annotations

import json
from pathlib import Path
import sys
from typing import Any
import warnings

import loky
import numpy as np
import optuna
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy.stats import t
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import optuna_robust as opr


N_TRAININGS = 200
N_INSTANCES = 10
N_AGAIN = 50
N_SEARCHES = 16
GALLERY = Path(__file__).parent / "gallery"
BLUE, ORANGE, GREY = "#1f77b4", "#ff7f0e", "#7f7f7f"

_images, _labels = load_digits(return_X_y=True)
_order = np.random.default_rng(0).permutation(len(_images))
_TRAINING, _SEARCH, _TEST = np.split(_order, [600, 1200])


def error(trial: optuna.Trial, instance: opr.Instance) -> float:
    """Return the error in % of one network, on images that depend on the instance's phase."""
    network = MLPClassifier(
        (trial.suggest_int("width", 4, 128, log=True),),
        activation=trial.suggest_categorical("activation", ["relu", "tanh"]),
        alpha=trial.suggest_float("alpha", 1e-6, 1, log=True),
        learning_rate_init=trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        batch_size=trial.suggest_categorical("batch_size", [5, 10, 25]),
        max_iter=trial.suggest_int("epochs", 5, 60, log=True),
        random_state=instance.seed,
    )
    rows = _TRAINING[instance.sample(len(_TRAINING), 50)]
    judged = _SEARCH if instance.phase == "search" else _TEST
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(_images[rows], _labels[rows])
    return 100 * (1 - float(network.score(_images[judged], _labels[judged])))


def searched(kind: str, seed: int) -> dict[str, Any]:
    """Return what a search promised, and the losses of fresh instances of its winner."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    if kind == "ordinary":
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        study.optimize(
            lambda trial: error(trial, opr.Instance(trial.number, study_seed=seed)),
            n_trials=N_TRAININGS,
        )
    else:
        study = optuna.create_study(sampler=opr.RobustnessSampler(seed=seed))
        study.optimize(
            opr.MultiInstanceObjective(error, n_instances=N_INSTANCES, seed=seed),
            callbacks=[opr.MaxInstancesCallback(N_TRAININGS)],
        )
    fresh = opr.confirm(study, error, n_models=1, n_instances=N_AGAIN, seed=1000 + seed)
    losses = [float(loss) for loss in fresh.losses[0]]
    return {"kind": kind, "seed": seed, "promised": study.best_value, "losses": losses}


def look(figure: go.Figure) -> go.Figure:
    """Give a figure Optuna's look."""
    return figure.update_layout(
        template="plotly_white", width=800, height=420, margin={"t": 50, "l": 60, "r": 20, "b": 50}
    )


def optimism(result: dict[str, Any]) -> go.Figure:
    """Show what an ordinary search promised beside the losses of its winner."""
    figure = go.Figure(
        go.Histogram(
            x=result["losses"],
            marker_color=BLUE,
            name=f"its winner, trained {N_AGAIN} times",
        )
    )
    figure.add_vline(
        x=result["promised"],
        line_color=ORANGE,
        line_width=3,
        annotation_text="promised",
    )
    figure.update_layout(
        title=f"An ordinary search of {N_TRAININGS} trials",
        showlegend=True,
        legend={"x": 0.98, "xanchor": "right", "y": 0.98},
    )
    return look(figure.update_xaxes(title="error in %").update_yaxes(title="instances"))


def promises(results: list[dict[str, Any]]) -> go.Figure:
    """Show what every search promised, and what came out by the same statistic."""
    figure = make_subplots(
        cols=2,
        shared_yaxes=True,
        subplot_titles=["ordinary: one training, mean of 50", "robust: Q3+IQR of 10, and of 50"],
    )
    for column, kind in enumerate(("ordinary", "robust"), 1):
        ours = [each for each in results if each["kind"] == kind]
        seeds = [each["seed"] + 1 for each in ours]
        fresh = [(np.mean if kind == "ordinary" else q3_iqr)(each["losses"]) for each in ours]
        promised = [each["promised"] for each in ours]
        for name, values, colour in (("promised", promised, ORANGE), ("came out", fresh, BLUE)):
            figure.add_scatter(
                x=seeds,
                y=values,
                mode="markers",
                marker={"color": colour, "size": 9},
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                row=1,
                col=column,
            )
    figure.update_layout(legend={"orientation": "h", "y": -0.2})
    figure.update_xaxes(title="search seed").update_yaxes(title="error in %", col=1)
    return look(figure).update_layout(title=f"{N_SEARCHES} searches of each kind", margin_t=90)


def q3_iqr(losses: list[float]) -> float:
    """Return the criterion of the robust search."""
    lower, upper = np.quantile(losses, [0.25, 0.75])
    return float(2 * upper - lower)


def main() -> None:
    """Run the searches, or read them from a file; say what came out, and write the figures."""
    kept = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if kept is not None and kept.exists():
        results = json.loads(kept.read_text())
    else:
        with loky.ProcessPoolExecutor(2) as pool:
            tasks = [(kind, seed) for seed in range(N_SEARCHES) for kind in ("ordinary", "robust")]
            results = list(pool.map(searched, *zip(*tasks, strict=True)))
        if kept is not None:
            kept.write_text(json.dumps(results))
    ordinary, robust = (
        np.array([q3_iqr(each["losses"]) for each in results if each["kind"] == kind])
        for kind in ("ordinary", "robust")
    )
    print(f"Q3+IQR of winners, means: ordinary {ordinary.mean():.1f}, robust {robust.mean():.1f}")
    logs = np.log(robust / ordinary)
    low, high = t.interval(0.95, N_SEARCHES - 1, logs.mean(), logs.std(ddof=1) / N_SEARCHES**0.5)
    print(f"ratio {np.exp(logs.mean()):.3f} [{np.exp(low):.3f}, {np.exp(high):.3f}]")
    print(f"robust better at {int((logs < 0).sum())} of {N_SEARCHES}")
    for kind, statistic in (("ordinary", np.mean), ("robust", q3_iqr)):
        off = [statistic(e["losses"]) - e["promised"] for e in results if e["kind"] == kind]
        error = np.std(off, ddof=1) / N_SEARCHES**0.5
        low, high = t.interval(0.95, N_SEARCHES - 1, np.mean(off), error)
        print(f"{kind}: came out - promised {np.mean(off):.1f} [{low:.1f}, {high:.1f}]")
    optimism(results[0]).write_image(GALLERY / "why_optimism.png", scale=2)
    promises(results).write_image(GALLERY / "why_promises.png", scale=2)


if __name__ == "__main__":
    main()
