"""A network whose steps are lists of PyTorch's operations, taken down once.

A step of a small network spends a good part of its time beside its numbers: on calls of layers, on
the graph that gradients are computed with, and on each parameter by itself in the optimizer. Its
operations are the same ones every time, and are called here one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import cast
from typing import TypeAlias
import warnings

import torch
from torch import nn
from torch import Tensor
from torch.func import functional_call
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from optuna_robust.training._convolutions import Convolutions
from optuna_robust.training._networks import SingleNetwork
from optuna_robust.training._options import Columns
from optuna_robust.training._options import Loss
from optuna_robust.training._options import TrainingOptions


# Takes parameters, buffers and a batch, and gives the gradients.
_Step: TypeAlias = Callable[..., Sequence[Tensor]]
_Shapes: TypeAlias = tuple[torch.Size, ...]
# Numbers of a cache line, of the smallest type that networks are trained in.
_LINE = 32


class Captured:
    """Training steps of any instance of a model, which processes can be sent.

    Args:
        module:
            A network, on the CPU. It is called, with tensors that have no numbers: a function that
            looks at some raises.
        loss:
            The user's.
        batches:
            Batches of one instance, of all shapes that there are.
    """

    def __init__(self, module: nn.Module, loss: Loss, batches: Iterable[Columns]) -> None:
        module.train()
        by_shapes = {_shapes(batch): batch for batch in batches}
        self._steps = {key: _taken_down(module, loss, batch) for key, batch in by_shapes.items()}

    def step_for(self, batch: Columns) -> _Step | None:
        """Return the step for batches of this shape; None if there is none."""
        return self._steps.get(_shapes(batch))

    def __getstate__(self) -> dict[_Shapes, bytes]:
        return {key: _as_bytes(step) for key, step in self._steps.items()}

    def __setstate__(self, state: dict[_Shapes, bytes]) -> None:
        with _quietly():
            self._steps = {key: torch.jit.load(BytesIO(step)) for key, step in state.items()}


def _shapes(batch: Columns) -> _Shapes:
    return tuple(column.shape for column in batch)


def _taken_down(module: nn.Module, loss: Loss, batch: Columns) -> _Step:
    names = [name for name, _ in module.named_parameters()]
    names_of_buffers = [name for name, _ in module.named_buffers()]
    n, n_state = len(names), len(names) + len(names_of_buffers)

    def gradients(*tensors: Tensor) -> tuple[Tensor, ...]:
        leaves = [each.detach().requires_grad_() for each in tensors[:n]]
        state = dict(zip(names + names_of_buffers, [*leaves, *tensors[n:n_state]], strict=True))
        *inputs, target = tensors[n_state:]
        value = loss(functional_call(module, state, tuple(inputs)), target)
        return torch.autograd.grad(value, leaves)

    trace = make_fx(gradients, decomposition_table=Convolutions().table(), tracing_mode="fake")
    tensors = [each.detach().clone() for each in (*module.parameters(), *module.buffers(), *batch)]
    return _in_torchscript(trace(*tensors))


def _in_torchscript(operations: GraphModule) -> _Step:
    """Return operations that are not called by Python, which takes a quarter of a small step."""
    for node in operations.graph.nodes:
        if isinstance(node.target, torch._ops.OpOverload):
            node.target = node.target.overloadpacket  # TorchScript goes by the arguments
    operations.recompile()
    with _quietly():
        return cast(_Step, torch.jit.script(operations))


def _as_bytes(step: _Step) -> bytes:
    file = BytesIO()
    with _quietly():
        torch.jit.save(step, file)
    return file.getvalue()


@contextmanager
def _quietly() -> Iterator[None]:
    """Let PyTorch not advise what has no effect on these operations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class CapturedNetwork(SingleNetwork):
    """One network, trained by itself, by steps that were taken down.

    The optimizer, which must treat every number on its own, gets the parameters of a group as one.

    Args:
        module:
            The network, on the CPU.
        options:
            How it is trained.
        captured:
            The steps; one with batches of other shapes is taken as always.

    Raises:
        ValueError: If parameters of a group cannot be one.
    """

    def __init__(self, module: nn.Module, options: TrainingOptions, captured: Captured) -> None:
        super().__init__(module, options)
        for group in self._optimizer.param_groups:
            group["params"] = [_as_one(group["params"])]
        self._captured = captured
        self._state = [each.detach() for each in (*module.parameters(), *module.buffers())]
        self._gradients = [cast(Tensor, each.grad) for each in module.parameters()]

    def _compute_gradients(self, batch: Columns) -> None:
        step = self._captured.step_for(batch)
        if step is None:
            self._module.train()
            self._optimizer.zero_grad(set_to_none=False)
            self._loss(self._module(*batch[:-1]), batch[-1]).backward()
            return
        with torch.inference_mode():
            gradients = step(*self._state, *batch)
            for own, new in zip(self._gradients, gradients, strict=True):
                own.copy_(new)


def _as_one(parameters: Sequence[nn.Parameter]) -> nn.Parameter:
    """Return a parameter that others become views of, and their gradients of its gradient.

    Raises:
        ValueError: If they have several types, or gaps in memory.
    """
    if len({each.dtype for each in parameters}) > 1:
        raise ValueError("its parameters have several types")
    if any(torch.empty_like(each).stride() != each.stride() for each in parameters):
        raise ValueError("its parameters have gaps in memory")
    # Kernels take longer where a tensor begins in the middle of a cache line. What lies between
    # has no gradient and stays zero.
    sizes = [_LINE * -(-each.numel() // _LINE) for each in parameters]
    one = nn.Parameter(torch.zeros(sum(sizes), dtype=parameters[0].dtype))
    one.grad = torch.zeros_like(one)
    values, gradients = one.detach().split(sizes), one.grad.split(sizes)
    for own, value, gradient in zip(parameters, values, gradients, strict=True):
        own.data = _like(own, value).copy_(own.detach())
        own.grad = _like(own, gradient)
    return one


def _like(parameter: Tensor, line: Tensor) -> Tensor:
    """Return a view of a part of memory, with a parameter's shape and order."""
    return line.as_strided(parameter.shape, parameter.stride(), line.storage_offset())
