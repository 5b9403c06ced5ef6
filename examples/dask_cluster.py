"""A selection whose instances are trained by the workers of a Dask cluster.

Here the cluster is two processes of this machine. For a real one, connect to its scheduler:
``Client("tcp://scheduler:8786")``. Whatever the number of workers, the result is the same.
"""

from __future__ import annotations

from distributed import Client
from distributed import LocalCluster
import numpy as np
import optuna
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor

import optuna_robust as opr


N_WORKERS = 2


def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    patients, targets = load_diabetes(return_X_y=True)  # read there, not sent with the objective
    rows = instance.bootstrap(len(patients))
    model = RandomForestRegressor(
        n_estimators=trial.suggest_int("n_estimators", 1, 100),
        max_depth=trial.suggest_int("max_depth", 1, 20),
        random_state=instance.seed,
    ).fit(patients[rows], targets[rows])
    left_out = np.setdiff1d(np.arange(len(patients)), rows)
    return float(np.abs(targets[left_out] - model.predict(patients[left_out])).mean())


def main() -> None:
    grid = {"n_estimators": [3, 10, 30], "max_depth": [1, 3, 5, 10]}
    with (
        LocalCluster(n_workers=N_WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        result = opr.robust_select(
            objective,
            grid,
            n_instances=10,
            executor=client.get_executor(),
            n_jobs=N_WORKERS,  # so many instances are with the cluster at a time
        )
    print(f"best parameters: {result.best_params}")
    print(f"Q3 + IQR of its mean absolute errors: {result.values[result.best_index]:.2f}")
    print(f"{result.n_trainings} trainings for {len(result.models)} models")


if __name__ == "__main__":  # the workers import this file
    main()
