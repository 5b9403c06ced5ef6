"""Many instances: where they are trained, and the pool that hands them out in order."""

from optuna_robust._instances.trained import Trained
from optuna_robust._running.parallel._failures import FailurePolicy
from optuna_robust._running.parallel._failures import RunFailures
from optuna_robust._running.parallel._open import open_pool
from optuna_robust._running.parallel._pool import InstancePool
from optuna_robust._running.parallel._together import Together
from optuna_robust._running.parallel._workers import check_instances_per_call
from optuna_robust._running.parallel._workers import check_workers
from optuna_robust._running.parallel._workers import ExecutorWorkers
from optuna_robust._running.parallel._workers import InProcess
from optuna_robust._running.parallel._workers import is_worker
from optuna_robust._running.parallel._workers import LokyWorkers
from optuna_robust._running.parallel._workers import make_workers
from optuna_robust._running.parallel._workers import worker_index
from optuna_robust._running.parallel._workers import Workers


__all__ = [
    "ExecutorWorkers",
    "FailurePolicy",
    "InProcess",
    "InstancePool",
    "LokyWorkers",
    "RunFailures",
    "Together",
    "Trained",
    "Workers",
    "check_instances_per_call",
    "check_workers",
    "is_worker",
    "make_workers",
    "open_pool",
    "worker_index",
]
