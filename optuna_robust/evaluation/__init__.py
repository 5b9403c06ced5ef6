"""The evaluation of one instance: an objective called once, with a trial of its own."""

from optuna_robust.evaluation._evaluator import as_loss
from optuna_robust.evaluation._evaluator import Evaluator
from optuna_robust.evaluation._evaluator import Job
from optuna_robust.evaluation._evaluator import Key
from optuna_robust.evaluation._evaluator import Outcome
from optuna_robust.evaluation._instance_trial import InstanceTrial
from optuna_robust.evaluation._instance_trial import ModelKnown
from optuna_robust.evaluation._model_trial import can_give
from optuna_robust.evaluation._model_trial import ModelMismatchError
from optuna_robust.evaluation._model_trial import ModelTrial
from optuna_robust.evaluation._seeding import global_seed


__all__ = [
    "Evaluator",
    "InstanceTrial",
    "Job",
    "Key",
    "ModelKnown",
    "ModelMismatchError",
    "ModelTrial",
    "Outcome",
    "as_loss",
    "can_give",
    "global_seed",
]
