"""A PyTorch training whose initial weights, data order and training sample are the instance's.

The study has two objectives, quality and spread, and ends with a Pareto front.
"""

from __future__ import annotations

import optuna
from sklearn.datasets import load_digits
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import TensorDataset

import optuna_robust as opr


pixels, labels = load_digits(return_X_y=True)
X = torch.tensor(pixels, dtype=torch.float32) / 16
y = torch.tensor(labels)
N_TRAIN = 1200  # the rows that instances draw their samples from; the others judge


def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    width = trial.suggest_int("width", 8, 64, log=True)
    lr = trial.suggest_float("lr", 1e-3, 1.0, log=True)

    with torch.random.fork_rng():
        torch.manual_seed(instance.seed)  # initial weights
        model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    rows = instance.sample(N_TRAIN, 300)  # training sample
    loader = DataLoader(
        TensorDataset(X[rows], y[rows]),
        batch_size=32,
        shuffle=True,
        generator=instance.torch_generator(),  # data order
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    for epoch in range(8):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
        trial.report(loss.item(), epoch)  # this instance's learning curve
    with torch.no_grad():
        wrong = model(X[N_TRAIN:]).argmax(1) != y[N_TRAIN:]
    return 100.0 * float(wrong.float().mean())


def main() -> None:
    torch.set_num_threads(1)
    study = optuna.create_study(
        directions=["minimize", "minimize"],
        sampler=optuna.samplers.NSGAIISampler(seed=0, population_size=10),
        pruner=opr.RobustnessPruner(),
    )
    study.optimize(
        opr.MultiInstanceObjective(objective, n_instances=8, returns=("median", "iqr")),
        n_trials=30,
        show_progress_bar=True,
    )
    print("median error %, IQR, parameters")
    for trial in sorted(study.best_trials, key=lambda trial: trial.values[0]):
        print(f"{trial.values[0]:.2f}, {trial.values[1]:.2f}, {trial.params}")


if __name__ == "__main__":
    main()
