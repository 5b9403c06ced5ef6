"""Train instances of a PyTorch model: together, in processes, or one after the other."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import logging
import time
from typing import Any

import torch
from torch import Tensor

from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count
from optuna_robust._instances.instance import Instance
from optuna_robust._running.parallel import check_workers
from optuna_robust._running.parallel import is_worker
from optuna_robust.training._arguments import check_callable
from optuna_robust.training._arguments import check_columns
from optuna_robust.training._arguments import check_device
from optuna_robust.training._arguments import check_instances
from optuna_robust.training._arguments import check_same_kind
from optuna_robust.training._arguments import check_sample_size
from optuna_robust.training._arguments import check_training
from optuna_robust.training._captured import Captured
from optuna_robust.training._chunk import in_chunks
from optuna_robust.training._memory import instances_at_once
from optuna_robust.training._options import copied
from optuna_robust.training._options import Loss
from optuna_robust.training._options import ModelFactory
from optuna_robust.training._options import Parts
from optuna_robust.training._options import TrainingOptions
from optuna_robust.training._processes import in_processes
from optuna_robust.training._result import TrainingResult
from optuna_robust.training._support import new_network
from optuna_robust.training._together import captured_steps
from optuna_robust.training._together import reason_against


_logger = logging.getLogger(__name__)

_METHODS = ("auto", "vmap", "processes", "loop")
_INTERVALS = ("epoch", "step")
# Steps of an instance that repay capturing one.
_FEWEST_STEPS = 1000


def train_instances(
    model_factory: ModelFactory,
    data: Sequence[Tensor],
    instances: Sequence[Instance],
    *,
    validation: Sequence[Tensor],
    loss: Loss,
    optimizer: Callable[..., torch.optim.Optimizer],
    n_epochs: int,
    batch_size: int,
    metric: Loss | None = None,
    sample_size: int | None = None,
    scheduler: Callable[[Any], Any] | None = None,
    scheduler_interval: str = "epoch",
    evaluate_every: int = 1,
    patience: int | None = None,
    method: str = "auto",
    n_jobs: int = -1,
    device: str | torch.device | None = None,
    max_together: int | None = None,
    reduced_precision: bool = False,
    capture: bool = True,
) -> TrainingResult:
    """Train several instances of a model, each as it would be trained alone.

    Each instance has its own initial weights (``instance.seed``), training sample
    (``instance.sample``), order of the data (``instance.torch_generator()``), optimizer state,
    learning-rate schedule and end.

    On a GPU they are trained together: small networks leave most of it idle. Their parameters are
    stacked, and ``torch.func.vmap`` runs all with one call. On a CPU that is no faster than one
    after the other, and processes with a thread each are. ``method="auto"`` chooses; the result
    says which it was, and all give the same up to rounding. Adaptive optimizers (all but SGD)
    enlarge rounding where a gradient is zero but for that: the bias of a layer before batch
    normalisation, under Adam in float32, made losses differ by 0.5 % after 10 epochs and by 2.3 %
    after 40 (1e-7 with ``bias=False``, 2e-11 in float64, nothing with SGD).

    **Trained together** are instances that a few steps, before those that count, show to be the
    same together as alone: in float64, for two instances, with networks that are made anew. All
    layers without randomness can be, batch normalisation and recurrent ones too. **Not trained
    together** are networks that draw random numbers (dropout, stochastic depth), that differ in
    more than parameters and buffers (columns, numbers or functions that the constructor draws) or
    hold tensors that are neither, that keep something from call to call elsewhere than in buffers
    (in attributes of their own, of a class or of an object that they share, or in variables),
    have shared, frozen or unused parameters, a forward that goes by the data
    (``if x.sum() > 0``), or one that cannot run in float64 (``x.float()``, a first state
    ``torch.zeros(…)`` of a recurrent layer; write ``dtype=x.dtype``); nor those with a loss or a
    schedule that keeps something or draws, or an optimizer that does not treat every number on its
    own (Adagrad, LBFGS, Muon, Adafactor) or has hooks. ``"auto"`` trains them one after the other
    on a GPU, and ``reason_alone`` of the result says why.

    **Captured.** On a CPU, a small network spends much of a step beside its numbers. From 1000
    steps on, the operations of a step are taken down once, and called one after the other; small
    convolutions become products of matrices, and the optimizer gets all parameters of a group as
    one. A few steps show before that these are the same, as above; what cannot be trained together
    is hardly ever captured, nor are networks with hooks, and these are trained as always. Networks
    and losses are not called in captured steps: what they print or log is missing.

    Networks are converted to the type of the data's first floating-point tensor. One that is
    trained alone holds a lock, since random layers draw from global generators: threads take
    turns.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> import optuna_robust as opr
        >>> from optuna_robust.training import train_instances
        >>> x = torch.linspace(-1, 1, 256)[:, None]
        >>> data = (x, x**2)
        >>> result = train_instances(
        ...     lambda: torch.nn.Sequential(
        ...         torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
        ...     ),
        ...     data,
        ...     [opr.Instance(number) for number in range(3)],
        ...     validation=data,
        ...     loss=torch.nn.functional.mse_loss,
        ...     optimizer=partial(torch.optim.Adam, lr=0.01),
        ...     n_epochs=5,
        ...     batch_size=32,
        ...     sample_size=128,
        ...     method="vmap",
        ... )
        >>> result.losses.shape, result.learning_curves.shape
        ((3,), (3, 5))

    Args:
        model_factory:
            Returns a new network; its weights come from the global generators, which are seeded
            for each instance.
        data:
            The training population: inputs, and last the target, with rows along the first axis.
            The network is called as ``network(*inputs)``.
        instances:
            Which instances.
        validation:
            What the metric is of, likewise.
        loss:
            ``loss(predictions, targets)``: the mean over a batch, without a state of its own.
        optimizer:
            Makes one of a list of parameters, for example ``partial(torch.optim.AdamW, lr=1e-3)``.
        n_epochs:
            Most epochs.
        batch_size:
            Rows of a batch; the last one of an epoch may be smaller.
        metric:
            ``metric(predictions, targets)`` over all validation rows, to be minimised. Default:
            the loss.
        sample_size:
            Rows of a training sample. Default: the whole population.
        scheduler:
            Makes a learning-rate scheduler of an optimizer; with ``ReduceLROnPlateau`` each
            instance goes by its own metric.
        scheduler_interval:
            ``"epoch"`` (default) or ``"step"``: when it moves on.
        evaluate_every:
            Epochs from one look at the metric to the next; the last epoch is always looked at.
            Default: 1. Where validation data are many and training samples small, looks cost most.
        patience:
            An instance ends whose metric has not improved for so many epochs, at the next look,
            and the best epoch that was looked at is kept. Default: all epochs, and the last is
            kept.
        method:
            ``"auto"``, ``"vmap"`` (together), ``"processes"`` or ``"loop"`` (one after the other).
        n_jobs:
            Processes, each with one thread; -1: as many as there are cores.
        device:
            Where to train. Default: the first GPU if there is one, else the CPU.
        max_together:
            Most instances that are trained together. Default: as many as half of the memory that
            is free can hold, by an estimate.
        reduced_precision:
            Let a GPU use TF32, which is faster. By default float32 is float32.
        capture:
            Let instances take captured steps, as above, where they are trained on a CPU in
            processes or one after the other. False: call the network and the loss in every step.

    Returns:
        Losses, learning curves and trained networks.

    Raises:
        ImportError: If joblib is needed and not installed.
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range or unknown, data do not fit each other, or
            ``method="vmap"`` cannot train these networks together; the message says why.
    """
    began = time.perf_counter()
    population, checked = check_columns("data", data), check_columns("validation", validation)
    check_same_kind(population, checked)
    chosen = check_instances(instances)
    options = TrainingOptions(
        loss=check_callable("loss", loss),
        metric=loss if metric is None else check_callable("metric", metric),
        optimizer=check_callable("optimizer", optimizer),
        n_epochs=check_count("n_epochs", n_epochs, minimum=1),
        batch_size=check_count("batch_size", batch_size, minimum=1),
        sample_size=check_sample_size(sample_size, len(population[-1])),
        scheduler=None if scheduler is None else check_callable("scheduler", scheduler),
        by_step=check_choice("scheduler_interval", scheduler_interval, _INTERVALS) == "step",
        evaluate_every=check_count("evaluate_every", evaluate_every, minimum=1),
        patience=None if patience is None else check_count("patience", patience, minimum=1),
        reduced_precision=bool(reduced_precision),
    )
    check_choice("method", method, _METHODS)
    n_jobs = check_workers(n_jobs, None)
    if max_together is not None:
        check_count("max_together", max_together, minimum=1)
    place = check_device(device)
    parts = Parts(population, checked)
    first = new_network(check_callable("model_factory", model_factory), chosen[0], parts.dtype)
    n_rows = min(options.batch_size, options.sample_size)
    check_training(first, copied(tuple(column[:n_rows] for column in population)), options)
    how, against = _chosen_method(method, place, len(chosen), n_jobs), None
    if how == "vmap":
        against = reason_against(model_factory, parts.to(place), chosen, options)
        how = _method_that_can(method, against)
    _log(how, place, len(chosen), against)
    captured = None
    if capture and how != "vmap" and place.type == "cpu" and options.n_steps >= _FEWEST_STEPS:
        captured = _captured(model_factory, parts, chosen, options)
    if how == "processes":
        fitted = in_processes(
            model_factory, parts, chosen, options, n_jobs=n_jobs, captured=captured
        )
    else:
        n_together = 1
        if how == "vmap":
            n_together = max_together or instances_at_once(first, population, options, place)
        fitted = in_chunks(
            model_factory, parts.to(place), chosen, options, n_together, captured=captured
        )
    return TrainingResult(
        losses=torch.cat([each.losses for each in fitted]).numpy(),
        learning_curves=torch.cat([each.learning_curves for each in fitted]).numpy(),
        n_epochs=torch.cat([each.n_epochs for each in fitted]).numpy(),
        method=how,
        reason_alone=against,
        device=str(place),
        seconds=time.perf_counter() - began,
        states=tuple(
            {name: value.cpu() for name, value in state.items()}
            for each in fitted
            for state in each.states
        ),
        instances=chosen,
        model_factory=model_factory,
    )


def _chosen_method(method: str, device: torch.device, n: int, n_jobs: int) -> str:
    """Return how instances are to be trained.

    Raises:
        ValueError: If the user's method does not go with the device.
    """
    if method == "processes" and device.type != "cpu":
        raise ValueError(
            f"method='processes' trains on the CPU, but device was {str(device)!r}; several "
            "processes on one GPU are slower than method='vmap'."
        )
    if method != "auto":
        return method
    if device.type == "cpu":
        return "processes" if n > 1 and n_jobs > 1 and not is_worker() else "loop"
    return "vmap" if n > 1 else "loop"


def _method_that_can(method: str, against: str | None) -> str:
    """Return how instances are trained that were to be trained together.

    Raises:
        ValueError: If they cannot, and the user asked for it.
    """
    if against is None:
        return "vmap"
    if method == "vmap":
        raise ValueError(
            f"method='vmap' cannot train this network's instances together: {against}. "
            "Use method='loop' or 'processes'."
        )
    return "loop"


def _captured(
    model_factory: ModelFactory,
    parts: Parts,
    instances: Sequence[Instance],
    options: TrainingOptions,
) -> Captured | None:
    """Return captured steps if these are the same as those that instances take by themselves."""
    found = captured_steps(model_factory, parts, instances, options)
    if isinstance(found, Captured):
        return found
    _logger.info("steps are not captured, since %s", found)
    return None


def _log(how: str, device: torch.device, n: int, against: str | None) -> None:
    reason = "" if against is None else f", not together, since {against}"
    _logger.info("%d instances on %s: %s%s", n, device, how, reason)
