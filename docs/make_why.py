"""Makes the figures of `why.md`: winners of ordinary and of robust searches, trained again.

Networks of scikit-learn learn handwritten digits from 50 images; the loss is the error in %.
`python docs/make_why.py` (minutes on 2 cores; needs the extras `bench` and `docs`, and Chromium).
"""

from __future__ import annotations

import json
from pathlib import Path
import sys
import warnings

import loky
import numpy as np
import optuna
import plotly.graph_objects as go
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


def searched(kind: str, seed: int) -> dict[str, object]:
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


def optimism(result: dict[str, object]) -> go.Figure:
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


def winners(results: list[dict[str, object]]) -> go.Figure:
    """Show the losses of all winners, pair by pair of searches."""
    figure = go.Figure()
    for kind, colour in (("ordinary", BLUE), ("robust", ORANGE)):
        ours = [each for each in results if each["kind"] == kind]
        figure.add_box(
            x=np.repeat([each["seed"] + 1 for each in ours], N_AGAIN),
            y=np.concatenate([each["losses"] for each in ours]),
            name=f"winner of the {kind} search",
            marker_color=colour,
            boxpoints=False,
        )
    figure.update_layout(
        title=f"{N_SEARCHES} searches of {N_TRAININGS} trainings; winners trained {N_AGAIN} times",
        boxmode="group",
        legend={"orientation": "h", "y": -0.2},
    )
    return look(figure.update_xaxes(title="search seed", dtick=1).update_yaxes(title="error in %"))


def main() -> None:
    """Run the searches (two at a time), say what came out, and write the figures."""
    with loky.ProcessPoolExecutor(2) as pool:
        tasks = [(kind, seed) for seed in range(N_SEARCHES) for kind in ("ordinary", "robust")]
        results = list(pool.map(searched, *zip(*tasks, strict=True)))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(results))
    q3_iqr = {
        kind: np.array(
            [
                2 * np.quantile(each["losses"], 0.75) - np.quantile(each["losses"], 0.25)
                for each in results
                if each["kind"] == kind
            ]
        )
        for kind in ("ordinary", "robust")
    }
    ratio = q3_iqr["robust"] / q3_iqr["ordinary"]
    print("Q3+IQR, means:", {kind: round(float(each.mean()), 1) for kind, each in q3_iqr.items()})
    print("ratio, geometric mean:", round(float(np.exp(np.log(ratio).mean())), 3))
    half = 2.131 * np.log(ratio).std(ddof=1) / N_SEARCHES**0.5  # t, 15 degrees of freedom
    print("95 % interval:", np.exp(np.log(ratio).mean() + np.array([-half, half])).round(3))
    print("robust better at", int((ratio < 1).sum()), "of", N_SEARCHES)
    optimism(results[0]).write_image(GALLERY / "why_optimism.png", scale=2)
    winners(results).write_image(GALLERY / "why_winners.png", scale=2)


if __name__ == "__main__":
    main()
