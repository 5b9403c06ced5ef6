"""Many instances of a PyTorch model at once; nothing else in the package imports this room."""

from optuna_robust.training._result import TrainingResult
from optuna_robust.training._train import train_instances


__all__ = ["TrainingResult", "train_instances"]
