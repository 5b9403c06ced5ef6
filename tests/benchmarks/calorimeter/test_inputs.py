"""Scaled inputs and targets, and losses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest


torch = pytest.importorskip("torch")

from benchmarks.calorimeter.events import Events  # noqa: E402
from benchmarks.calorimeter.inputs import prepare  # noqa: E402
from benchmarks.calorimeter.inputs import Problem  # noqa: E402
from benchmarks.calorimeter.inputs import PROBLEMS  # noqa: E402
from benchmarks.calorimeter.inputs import training_loss  # noqa: E402
from benchmarks.calorimeter.inputs import validation_loss  # noqa: E402


both_problems = pytest.mark.parametrize("problem", PROBLEMS)


@pytest.fixture
def events() -> Events:
    cells = np.zeros((3, 15, 15), np.float32)
    cells[:, 7, 7] = 3.0, 30.0, 6.0
    cells[:, 7, 8] = 1.0, 10.0, 0.0
    cells[:, 4, 7] = 0.0, 0.0, 2.0
    columns = np.array([[4.0, 50.0, 8.0], [0.5, 0.6, -0.1], [0.0, 0.0, -1.0]], np.float32)
    zero = np.zeros(3, np.float32)
    return Events(cells, *columns, zero, zero, cell_size=2.0)


def test_energy(events: Events) -> None:
    cells, extra, target = prepare(events, "energy")
    assert cells.shape == (3, 1, 15, 15)
    assert cells[1, 0, 7].tolist() == [0.0] * 7 + [3.0, 1.0] + [0.0] * 6
    assert extra.numpy() == pytest.approx(np.array([[0.4], [4.0], [0.8]]))
    assert target.numpy() == pytest.approx(np.array([0.4, 5.0, 0.8]))


def test_position(events: Events) -> None:
    cells, extra, target = prepare(events, "position")
    assert cells.shape == (3, 1, 15, 15)
    assert cells[0, 0, 7, 7:10].numpy() == pytest.approx(np.arcsinh([30.0, 10.0, 0.0]))
    assert extra.numpy() == pytest.approx(np.array([[0.5, 0.0], [0.5, 0.0], [0.0, -1.5]]))
    assert target.numpy() == pytest.approx(np.array([0.5, 0.6, -0.1]))


@both_problems
def test_types_and_lengths(events: Events, problem: Problem) -> None:
    for tensor in prepare(events, problem):
        assert tensor.dtype == torch.float32
        assert len(tensor) == 3
        assert not tensor.requires_grad


@both_problems
def test_noise_of_either_sign_is_alike(events: Events, problem: Problem) -> None:
    dimmed = replace(events, cells=np.full((3, 15, 15), 0.01, np.float32))
    inverted = replace(events, cells=-dimmed.cells)
    assert torch.equal(prepare(dimmed, problem).cells, -prepare(inverted, problem).cells)


@both_problems
def test_an_event_is_scaled_by_itself(events: Events, problem: Problem) -> None:
    alone = prepare(events.take([1]), problem)
    for tensor, expected in zip(alone, prepare(events, problem), strict=True):
        assert torch.equal(tensor[0], expected[1])


def test_the_relative_error_of_energies() -> None:
    prediction, target = torch.tensor([0.9, 11.0, 2.0]), torch.tensor([1.0, 10.0, 2.0])
    loss = validation_loss(prediction, target, problem="energy")
    assert loss.shape == ()
    assert float(loss) == pytest.approx(np.sqrt((0.01 + 0.01) / 3.0))


def test_the_error_of_positions_in_cm() -> None:
    prediction, target = torch.tensor([0.0, 2.0]), torch.tensor([0.3, 1.6])
    loss = validation_loss(prediction, target, problem="position")
    assert loss.shape == ()
    assert float(loss) == pytest.approx(np.sqrt((0.09 + 0.16) / 2.0))


@both_problems
def test_training_minimises_what_is_validated(problem: Problem) -> None:
    torch.manual_seed(0)
    prediction, target = torch.rand(50) + 0.5, torch.rand(50) + 0.5
    expected = validation_loss(prediction, target, problem=problem)
    assert float(training_loss(prediction, target, problem=problem)) == pytest.approx(
        float(expected)
    )


@both_problems
def test_a_perfect_batch_has_a_finite_slope(problem: Problem) -> None:
    prediction = torch.ones(4, requires_grad=True)
    training_loss(prediction, torch.ones(4), problem=problem).backward()
    assert prediction.grad is not None
    assert (prediction.grad == 0.0).all()


@both_problems
def test_losses_of_many_networks_at_once(problem: Problem) -> None:
    torch.manual_seed(0)
    predictions, target = torch.rand(6, 20), torch.rand(20) + 0.5
    together = torch.func.vmap(lambda one: validation_loss(one, target, problem=problem))(
        predictions
    )
    alone = [validation_loss(one, target, problem=problem) for one in predictions]
    torch.testing.assert_close(together, torch.stack(alone))


def test_a_diverged_network_has_no_loss() -> None:
    prediction = torch.tensor([float("nan"), 1.0])
    assert torch.isnan(validation_loss(prediction, torch.ones(2), problem="energy"))


def test_unknown_problems(events: Events) -> None:
    with pytest.raises(ValueError, match="problem='mass' is unknown"):
        prepare(events, "mass")
    with pytest.raises(ValueError, match="problem='mass' is unknown"):
        training_loss(torch.ones(1), torch.ones(1), problem="mass")
