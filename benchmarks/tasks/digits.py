"""Handwritten digits: 1797 images of 8 x 8 pixels, and small convolutional networks.

The loss is the classification error in percent. It is what a reader understands, it is bounded
(a diverged network counts as the 90 % of a guess, so nothing needs to be caught), and on the 449
images of a part its step is 0.22, small beside the spread between instances. The log loss has no
such step, but is dominated by a few images about which a small network is confidently wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from optuna.trial import BaseTrial
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional

from benchmarks.tasks import Part
from benchmarks.tasks import Setting
from optuna_robust import Instance


N_EPOCHS = 12
_SHARE_OF_POPULATION = 0.5
_BRIGHTEST = 16.0
_SIDE = 8
_N_CLASSES = 10

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "elu": nn.ELU, "tanh": nn.Tanh}
_POOLS: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "rmsprop": torch.optim.RMSprop,
}


@dataclass(frozen=True)
class Model:
    """One set of hyperparameters: architecture and training."""

    channels: tuple[int, ...]
    kernel_size: int
    pool: str
    batch_norm: bool
    dense_width: int
    activation: str
    dropout: float
    optimizer: str
    learning_rate: float
    weight_decay: float
    batch_size: int


def suggest_model(trial: BaseTrial) -> Model:
    """Draw a model from the search space."""
    n_layers = trial.suggest_int("n_conv_layers", 1, 3)
    return Model(
        channels=tuple(
            trial.suggest_int(f"channels_{layer}", 4, 24, log=True) for layer in range(n_layers)
        ),
        kernel_size=trial.suggest_categorical("kernel_size", [3, 5]),
        pool=trial.suggest_categorical("pool", list(_POOLS)),
        batch_norm=trial.suggest_categorical("batch_norm", [False, True]),
        dense_width=trial.suggest_int("dense_width", 8, 64, log=True),
        activation=trial.suggest_categorical("activation", list(_ACTIVATIONS)),
        dropout=trial.suggest_float("dropout", 0.0, 0.6),
        optimizer=trial.suggest_categorical("optimizer", list(_OPTIMIZERS)),
        learning_rate=trial.suggest_float("learning_rate", 1e-4, 0.3, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
        batch_size=trial.suggest_categorical("batch_size", [32, 64]),
    )


@dataclass(frozen=True)
class Rows:
    """The disjoint, stratified parts of the data, as row numbers."""

    population: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def split(labels: npt.NDArray[np.int64], *, seed: int) -> Rows:
    """Split the data: half is training population, a quarter validation, a quarter test.

    Another seed gives another split, so that over many searches neither of validation and test is
    the easier part.
    """
    population, rest = train_test_split(
        np.arange(len(labels)),
        train_size=_SHARE_OF_POPULATION,
        stratify=labels,
        random_state=seed,
    )
    validation, test = train_test_split(
        rest, train_size=0.5, stratify=labels[rest], random_state=seed
    )
    return Rows(population=population, validation=validation, test=test)


class Digits:
    """The digits, split by a seed; see :class:`~benchmarks.tasks.Task`."""

    def __init__(self, *, seed: int) -> None:
        images, labels = load_digits(return_X_y=True)
        rows = split(labels, seed=seed)
        scaled = torch.as_tensor(images / _BRIGHTEST, dtype=torch.float32)
        self._images = scaled.reshape(-1, 1, _SIDE, _SIDE)
        self._labels = torch.as_tensor(labels)
        self._population = torch.as_tensor(rows.population)
        self._parts = {
            "validation": torch.as_tensor(rows.validation),
            "test": torch.as_tensor(rows.test),
        }

    @property
    def trains_together(self) -> bool:
        """Images are few, and trained on a CPU."""
        return False

    @property
    def n_population(self) -> int:
        """Images that training samples are drawn from."""
        return len(self._population)

    def suggest(self, trial: BaseTrial) -> Model:
        """Draw a model from the search space."""
        return suggest_model(trial)

    def fixed(self, name: str) -> Model:
        """There are no fixed rows."""
        raise KeyError(name)

    def losses(
        self, model: Model, instances: Sequence[Instance], *, part: Part, sample_size: int
    ) -> list[float]:
        """Train instances of a model, and return the error of each on a part in percent."""
        rows = self._parts[part]
        found = []
        for instance in instances:
            sample = self._population[instance.sample(len(self._population), sample_size)]
            network = train(model, self._images[sample], self._labels[sample], instance)
            found.append(error_percent(network, self._images[rows], self._labels[rows]))
        return found


def load(*, seed: int, setting: Setting) -> Digits:
    """Return the task with the split of this seed."""
    return Digits(seed=seed)


def build_network(model: Model) -> nn.Sequential:
    """Return an untrained network; its weights come from PyTorch's global generator."""
    activation = _ACTIVATIONS[model.activation]
    layers: list[nn.Module] = []
    n_inputs = 1
    for n_channels in model.channels:
        layers.append(nn.Conv2d(n_inputs, n_channels, model.kernel_size, padding="same"))
        if model.batch_norm:
            layers.append(nn.BatchNorm2d(n_channels))
        layers += [activation(), _POOLS[model.pool](2)]
        n_inputs = n_channels
    side = _SIDE >> len(model.channels)
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(n_inputs * side * side, model.dense_width),
        activation(),
        nn.Dropout(model.dropout),
        nn.Linear(model.dense_width, _N_CLASSES),
    )


def train(model: Model, images: Tensor, labels: Tensor, instance: Instance) -> nn.Sequential:
    """Return a network with the instance's initial weights, trained in the instance's order."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(instance.seed)
        network = build_network(model)
        # Dropout draws from the global generator, and belongs to the order, not to the weights.
        torch.manual_seed(instance.order_seed)
        optimizer = _OPTIMIZERS[model.optimizer](
            network.parameters(), lr=model.learning_rate, weight_decay=model.weight_decay
        )
        for _ in range(N_EPOCHS):
            for batch in torch.randperm(len(labels)).split(model.batch_size):
                optimizer.zero_grad()
                functional.cross_entropy(network(images[batch]), labels[batch]).backward()
                optimizer.step()
    return network


def error_percent(network: nn.Sequential, images: Tensor, labels: Tensor) -> float:
    """Return the share of wrongly classified images."""
    network.eval()
    with torch.no_grad():
        wrong = network(images).argmax(dim=1) != labels
    return 100.0 * float(wrong.double().mean())
