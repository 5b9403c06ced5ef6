"""The evaluation of one instance: an objective called once, with a trial of its own."""

from optuna_robust._instances.evaluation._attributes import AttributeValueError
from optuna_robust._instances.evaluation._distributions import distributions_from_json
from optuna_robust._instances.evaluation._distributions import distributions_to_json
from optuna_robust._instances.evaluation._distributions import own_choices
from optuna_robust._instances.evaluation._epochs import EpochPruning
from optuna_robust._instances.evaluation._epochs import number_among_instances
from optuna_robust._instances.evaluation._epochs import PastInstance
from optuna_robust._instances.evaluation._evaluator import Evaluator
from optuna_robust._instances.evaluation._evaluator import Job
from optuna_robust._instances.evaluation._evaluator import Key
from optuna_robust._instances.evaluation._evaluator import Outcome
from optuna_robust._instances.evaluation._fault import Fault
from optuna_robust._instances.evaluation._fault import fault_of
from optuna_robust._instances.evaluation._fault import programming_error
from optuna_robust._instances.evaluation._instance_trial import InstanceTrial
from optuna_robust._instances.evaluation._instance_trial import ModelKnown
from optuna_robust._instances.evaluation._model_trial import ModelMismatchError
from optuna_robust._instances.evaluation._model_trial import ModelTrial
from optuna_robust._instances.evaluation._returned import as_loss
from optuna_robust._instances.evaluation._seeding import global_seed
from optuna_robust._instances.evaluation._study_view import link_artifacts
from optuna_robust._instances.evaluation._study_view import NotAvailableError
from optuna_robust._instances.evaluation._study_view import StudyView
from optuna_robust._instances.evaluation._time_limit import check_instance_timeout
from optuna_robust._instances.evaluation._values import AmbiguousChoicesError
from optuna_robust._instances.evaluation._values import can_give
from optuna_robust._instances.evaluation._values import canonical_params
from optuna_robust._instances.evaluation._values import canonical_value


__all__ = [
    "AmbiguousChoicesError",
    "AttributeValueError",
    "EpochPruning",
    "Evaluator",
    "Fault",
    "InstanceTrial",
    "Job",
    "Key",
    "ModelKnown",
    "ModelMismatchError",
    "ModelTrial",
    "NotAvailableError",
    "Outcome",
    "PastInstance",
    "StudyView",
    "as_loss",
    "can_give",
    "canonical_params",
    "canonical_value",
    "check_instance_timeout",
    "distributions_from_json",
    "distributions_to_json",
    "fault_of",
    "global_seed",
    "link_artifacts",
    "number_among_instances",
    "own_choices",
    "programming_error",
]
