"""Lightning with Optuna's pruning callback inside an instance.

The callback reports every epoch. Inside an instance these reports are that instance's learning
curve; trials are stopped on full instances, by RobustnessPruner.
"""

from __future__ import annotations

import logging
import warnings

import lightning.pytorch as pl
import optuna
from optuna_integration import PyTorchLightningPruningCallback
from sklearn.datasets import load_digits
import torch
from torch import nn
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import TensorDataset

import optuna_robust as opr


pixels, labels = load_digits(return_X_y=True)
X = torch.tensor(pixels, dtype=torch.float32) / 16
y = torch.tensor(labels)
N_TRAIN = 1200  # the rows that instances draw their samples from; the others judge


class Digits(pl.LightningModule):
    def __init__(self, width: int, lr: float) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
        self.lr = lr

    def training_step(self, batch: list[Tensor]) -> Tensor:
        images, targets = batch
        return nn.functional.cross_entropy(self.network(images), targets)

    def validation_step(self, batch: list[Tensor]) -> None:
        images, targets = batch
        wrong = self.network(images).argmax(1) != targets
        self.log("error", 100.0 * wrong.float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    pl.seed_everything(instance.seed, verbose=False)  # initial weights
    model = Digits(
        width=trial.suggest_int("width", 8, 64, log=True),
        lr=trial.suggest_float("lr", 1e-3, 1e-1, log=True),
    )
    rows = instance.sample(N_TRAIN, 300)  # training sample
    trainer = pl.Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[PyTorchLightningPruningCallback(trial, monitor="error")],
    )
    trainer.fit(
        model,
        DataLoader(
            TensorDataset(X[rows], y[rows]),
            batch_size=32,
            shuffle=True,
            generator=instance.torch_generator(),  # data order
        ),
        DataLoader(TensorDataset(X[N_TRAIN:], y[N_TRAIN:]), batch_size=1000),
    )
    return float(trainer.callback_metrics["error"])


def main() -> None:
    torch.set_num_threads(1)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=0), pruner=opr.RobustnessPruner()
    )
    study.optimize(opr.MultiInstanceObjective(objective, n_instances=4), n_trials=6)
    best = study.best_trial
    print(f"best parameters: {best.params}")
    print(f"Q3 + IQR of the error: {best.value:.2f} %")
    print(f"its errors: {[round(loss, 1) for loss in best.user_attrs['robust:losses']]}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    main()
