"""Callbacks of other libraries, with the trial that an objective gets anywhere."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import Executor
import logging
from pathlib import Path
from typing import Any

import loky
import numpy as np
import optuna
import pytest
import torch
from torch import nn

import optuna_robust as opr
from tests.places import losses_in
from tests.places import N_INSTANCES
from tests.places import PLACES


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    executor = loky.ProcessPoolExecutor(max_workers=2)
    yield executor
    executor.shutdown(kill_workers=True)


def data_of(instance: opr.Instance) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(instance.seed)
    x = rng.normal(size=(64, 3))
    return x, x[:, 0] + 0.1 * rng.normal(size=64)


def with_lightning(trial: optuna.Trial, instance: opr.Instance) -> float:
    import lightning.pytorch as pl  # noqa: PLC0415
    from optuna_integration import PyTorchLightningPruningCallback  # noqa: PLC0415

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rate = trial.suggest_float("x", 0, 1)

    class Line(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return nn.functional.mse_loss(self.layer(batch[0])[:, 0], batch[1])

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("loss", self.training_step(batch, index))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=rate)

    x, y = (torch.tensor(each, dtype=torch.float32) for each in data_of(instance))
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=32)
    callback = PyTorchLightningPruningCallback(trial, monitor="loss")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(instance.seed)
        trainer.fit(Line(), batches, batches)
    callback.check_pruned()
    assert len(trial.learning_curve) == 2  # type: ignore[attr-defined]
    return float(trainer.callback_metrics["loss"])


def with_lightgbm(trial: optuna.Trial, instance: opr.Instance) -> float:
    import lightgbm  # noqa: PLC0415
    from optuna_integration import LightGBMPruningCallback  # noqa: PLC0415

    x, y = data_of(instance)
    options = {
        "objective": "regression",
        "learning_rate": trial.suggest_float("x", 0, 1),
        "num_threads": 1,
        "verbosity": -1,
        "seed": instance.seed,
    }
    train = lightgbm.Dataset(x[:32], y[:32])
    booster = lightgbm.train(
        options,
        train,
        num_boost_round=3,
        valid_sets=[lightgbm.Dataset(x[32:], y[32:], reference=train)],
        callbacks=[LightGBMPruningCallback(trial, "l2")],
    )
    assert len(trial.learning_curve) == 3  # type: ignore[attr-defined]
    return float(booster.best_score["valid_0"]["l2"])


def with_xgboost(trial: optuna.Trial, instance: opr.Instance) -> float:
    from optuna_integration import XGBoostPruningCallback  # noqa: PLC0415
    import xgboost  # noqa: PLC0415

    x, y = data_of(instance)
    options = {"eta": trial.suggest_float("x", 0, 1), "nthread": 1, "seed": instance.seed}
    validation = xgboost.DMatrix(x[32:], y[32:])
    scores: dict[str, dict[str, list[float]]] = {}
    xgboost.train(
        options,
        xgboost.DMatrix(x[:32], y[:32]),
        num_boost_round=3,
        evals=[(validation, "validation")],
        evals_result=scores,
        verbose_eval=False,
        callbacks=[XGBoostPruningCallback(trial, "validation-rmse")],
    )
    assert len(trial.learning_curve) == 3  # type: ignore[attr-defined]
    return scores["validation"]["rmse"][-1]


LIBRARIES = {"lightning": with_lightning, "lightgbm": with_lightgbm, "xgboost": with_xgboost}


@pytest.mark.filterwarnings("ignore:.*num_workers", "ignore:.*isinstance.treespec")
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("place", PLACES)
def test_a_librarys_callback_works(place: str, library: str, executor: Executor) -> None:
    pytest.importorskip(library)
    pytest.importorskip("optuna_integration")
    losses = losses_in(place, LIBRARIES[library], optuna.create_study(), executor, {"x": 0.1})
    assert len(set(losses)) == N_INSTANCES


def test_callbacks_give_the_same_losses_in_workers() -> None:
    pytest.importorskip("xgboost")
    losses = []
    for n_jobs in (1, 2):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        study.optimize(opr.MultiInstanceObjective(with_xgboost, 3, n_jobs=n_jobs), n_trials=1)
        losses.append(study.trials[0].user_attrs["robust:losses"])
    assert losses[0] == losses[1]


# --- MLflow --------------------------------------------------------------------------------------


@pytest.fixture
def tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow's callback, with a folder that it writes to."""
    pytest.importorskip("mlflow")
    from optuna_integration import MLflowCallback  # noqa: PLC0415

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database takes seconds to make
    with pytest.warns(FutureWarning):
        return MLflowCallback(tracking_uri=tmp_path.as_uri(), metric_name="loss")


def runs_of(tracked: Any, experiment: str) -> list[Any]:
    from mlflow import MlflowClient  # noqa: PLC0415

    client = MlflowClient(tracked._tracking_uri)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id]))


def of_x(trial: optuna.Trial, instance: opr.Instance) -> float:
    trial.set_user_attr("epochs", np.int64(3))
    return trial.suggest_float("x", 0, 1) + float(instance.rng.normal())


@pytest.mark.parametrize("in_workers", [False, True])
def test_mlflows_callback_logs_the_trials_of_a_study(
    in_workers: bool, tracked: Any, executor: Executor
) -> None:
    options: dict[str, Any] = {"executor": executor, "n_jobs": 2} if in_workers else {}
    study = optuna.create_study(study_name="energy")
    objective = opr.MultiInstanceObjective(of_x, 3, **options)
    study.optimize(objective, n_trials=2, callbacks=[tracked])
    runs = runs_of(tracked, "energy")
    assert {run.data.metrics["loss"] for run in runs} == {trial.value for trial in study.trials}
    assert all(run.data.tags["epochs"] == "3" for run in runs)


@pytest.mark.parametrize("place", ["study", "confirm", "select"])
def test_mlflow_tracks_instances(place: str, tracked: Any, executor: Executor) -> None:
    import mlflow  # noqa: PLC0415

    @tracked.track_in_mlflow()
    def objective(trial: optuna.Trial) -> float:
        loss = trial.suggest_float("x", 0, 1) + float(np.random.normal())
        mlflow.log_metric("own", loss)
        return loss

    study = optuna.create_study(study_name="energy")
    losses = losses_in(place, objective, study, executor, {"x": 0.5})
    assert {run.data.metrics["own"] for run in runs_of(tracked, "energy")} == set(losses)


@pytest.mark.parametrize("place", ["study, workers", "confirm, workers", "select, workers"])
def test_mlflows_decorator_is_refused_in_workers(
    place: str, tracked: Any, executor: Executor
) -> None:
    def objective(trial: optuna.Trial) -> float:
        pytest.fail("trained")

    wrapped: Callable[..., Any] = tracked.track_in_mlflow()(objective)
    with pytest.raises(TypeError, match="objective cannot be sent to another process"):
        losses_in(place, wrapped, optuna.create_study(), executor, {"x": 0.5})


@pytest.mark.parametrize("objective", [with_lightning, with_lightgbm, with_xgboost])
def test_callbacks_prune_instances_by_their_epochs(objective: Callable[..., float]) -> None:
    study = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=0), pruner=optuna.pruners.NopPruner()
    )
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1)
    robust = opr.MultiInstanceObjective(objective, 3, instance_pruner=pruner, max_failures=1.0)
    study.optimize(robust, n_trials=4)
    pruned = [trial.user_attrs.get("robust:pruned_instances", {}) for trial in study.trials]
    assert pruned[0] == {}
    assert sum(map(len, pruned)) > 0
    assert not any(trial.user_attrs["robust:n_failures"] for trial in study.trials)
