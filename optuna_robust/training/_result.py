"""What comes of training several instances."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch import Tensor

from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances.instance import Instance
from optuna_robust.training._options import Columns
from optuna_robust.training._options import in_parts
from optuna_robust.training._options import Loss
from optuna_robust.training._options import ModelFactory
from optuna_robust.training._support import new_network


@dataclass(frozen=True)
class TrainingResult:
    """Instances of a model, trained by :func:`~optuna_robust.training.train_instances`.

    Attributes:
        losses: The metric of each instance on the validation data, shape (n_instances,); of one
            that diverged NaN or infinity, or with patience that of its best epoch.
        learning_curves: The metric after each epoch, shape (n_instances, n_epochs), NaN where it
            was not looked at, and after an instance ended.
        n_epochs: How many epochs each instance was trained, shape (n_instances,).
        method: How they were trained: ``"vmap"`` (together), ``"processes"`` or ``"loop"``.
        reason_alone: Why ``method="auto"`` did not train them together on a GPU; None if it did,
            or did not try.
        device: Where, for example ``"cuda:0"``.
        seconds: How long it took.
        states: The ``state_dict`` of each instance, on the CPU.
        instances: Which they are.
        model_factory: What made the networks.
    """

    losses: FloatArray
    learning_curves: FloatArray
    n_epochs: npt.NDArray[np.int64]
    method: str
    reason_alone: str | None
    device: str
    seconds: float
    states: tuple[dict[str, Tensor], ...] = field(repr=False)
    instances: tuple[Instance, ...] = field(repr=False)
    model_factory: ModelFactory = field(repr=False)

    def model(self, index: int) -> nn.Module:
        """Return the trained network of one instance, on the CPU, ready for predictions."""
        state = self.states[index]
        dtype = next(each.dtype for each in state.values() if each.is_floating_point())
        module = new_network(self.model_factory, self.instances[index], dtype)
        module.load_state_dict(state)
        return module.eval()

    @torch.no_grad()
    def evaluate(self, data: Columns, metric: Loss, *, rows_at_once: int = 4096) -> FloatArray:
        """Return a metric of each instance on other data, such as test data.

        Args:
            data:
                Inputs, and last the target, on the CPU; rows along the first axis.
            metric:
                ``metric(predictions, targets)``, one number over all rows.
            rows_at_once:
                Rows of a call.

        Returns:
            Shape (n_instances,).
        """
        *inputs, target = data
        values = []
        for index in range(len(self.states)):
            module = self.model(index)
            parts = in_parts(tuple(inputs), rows_at_once)
            predictions = torch.cat([module(*part) for part in parts])
            values.append(float(metric(predictions, target)))
        return np.array(values, dtype=np.float64)
