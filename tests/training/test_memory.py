from __future__ import annotations

import psutil
import torch
from torch import nn

from optuna_robust.training._memory import free_bytes
from optuna_robust.training._memory import instances_at_once
from optuna_robust.training._memory import rows_at_once
from optuna_robust.training._options import TrainingOptions


CPU = torch.device("cpu")


def options(batch_size: int) -> TrainingOptions:
    return TrainingOptions(
        loss=nn.functional.mse_loss,
        metric=nn.functional.mse_loss,
        optimizer=torch.optim.SGD,
        n_epochs=1,
        batch_size=batch_size,
        sample_size=100,
        scheduler=None,
        by_step=False,
        evaluate_every=1,
        patience=None,
        reduced_precision=False,
    )


def columns(width: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(10_000, width), torch.zeros(10_000, 1)


def test_free_memory_is_what_the_machine_says() -> None:
    assert (
        0.5 * psutil.virtual_memory().available < free_bytes(CPU) <= psutil.virtual_memory().total
    )


def test_chunks_follow_parameters_and_batches() -> None:
    def at_once(width: int, batch_size: int) -> int:
        module = nn.Sequential(nn.Linear(width, width), nn.Linear(width, 1))
        return instances_at_once(module, columns(width), options(batch_size), CPU)

    small, wide, large_batch = at_once(10, 10), at_once(1000, 10), at_once(10, 10_000)
    # A million parameters against a hundred; ten thousand rows against ten.
    assert 1000 < small / wide < 10_000
    assert 200 < small / large_batch < 1000
    # A million parameters of four bytes in eight copies, within half of the memory.
    assert wide * 8 * 4e6 < 0.51 * psutil.virtual_memory().total


def test_at_least_one_instance_and_one_row_are_taken() -> None:
    class Huge(nn.Module):
        """Puts out more than any memory holds, without taking any."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :1].expand(len(x), 10**12)

    assert instances_at_once(Huge(), columns(3), options(10), CPU) == 1
    assert rows_at_once(Huge(), columns(3), 100, CPU, batch_size=10) == 1


def test_rows_of_a_call_are_bounded() -> None:
    module = nn.Linear(3, 1)
    of_one, of_two = (rows_at_once(module, columns(3), n, CPU, batch_size=10) for n in (1, 2))
    assert of_one == of_two
