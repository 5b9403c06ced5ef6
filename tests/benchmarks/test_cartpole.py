from dataclasses import replace

import numpy as np
import optuna
import pytest


torch = pytest.importorskip("torch")
pytest.importorskip("gymnasium")

from benchmarks.tasks import cartpole  # noqa: E402
from benchmarks.tasks import Setting  # noqa: E402
from benchmarks.tasks import TASKS  # noqa: E402
from optuna_robust import Instance  # noqa: E402


MODEL = cartpole.Model(
    learning_rate=3e-3,
    discount=0.98,
    gae_lambda=0.95,
    entropy_bonus=1e-3,
    width=16,
    rollout_length=32,
    n_epochs=4,
    clip_range=0.2,
)


@pytest.fixture(scope="module")
def task():
    return TASKS["cartpole"].load(seed=0, setting=Setting())


def loss(task, instance, part="validation", model=MODEL, sample_size=2_000):
    (found,) = task.losses(model, [instance], part=part, sample_size=sample_size)
    return found


def test_a_loss_depends_on_nothing_but_model_and_instance(task):
    instance = Instance(0)
    first = loss(task, instance)
    torch.manual_seed(7)
    np.random.seed(7)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert loss(task, instance) == first  # the same object: nothing in it moved on
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), before)
    assert loss(cartpole.load(seed=0, setting=Setting()), Instance(0)) == first
    assert -500.0 <= first <= -1.0


@pytest.mark.parametrize("source", ["init", "order", "sample"])
def test_every_source_of_variation_changes_the_policy(source):
    one, other = (
        cartpole.train(MODEL, Instance(number, vary=(source,)), n_steps=512) for number in (0, 1)
    )
    again = cartpole.train(MODEL, Instance(1, vary=(source,)), n_steps=512)
    weights, others, same = (network[0].weight for network in (one, other, again))
    assert not torch.equal(weights, others)
    assert torch.equal(others, same)


def test_parts_and_seeds_begin_in_other_states(task):
    seen = []

    class Watching(torch.nn.Module):
        def forward(self, states):
            seen.append(states.clone())
            return torch.full((len(states), 1), -1.0)

    def first_states(seed, part):
        seen.clear()
        cartpole.mean_return(Watching(), seed=cartpole.episodes_seed(seed, part))
        return seen[0]

    first = first_states(0, "validation")
    assert torch.equal(first, first_states(0, "validation"))
    for seed, part in ((0, "test"), (1, "validation"), (1, "test")):
        assert not torch.equal(first, first_states(seed, part))
    assert loss(task, Instance(0)) != loss(task, Instance(0), part="test")


def test_a_policy_that_always_pushes_to_one_side_falls_at_once():
    class Right(torch.nn.Module):
        def forward(self, states):
            return torch.ones((len(states), 1))

    assert 8.0 <= cartpole.mean_return(Right(), seed=0) <= 11.0


def test_a_policy_that_leans_against_the_pole_balances_it():
    class Against(torch.nn.Module):
        def forward(self, states):
            return states @ torch.tensor([[0.0], [0.2], [1.0], [1.0]])

    assert cartpole.mean_return(Against(), seed=0) > 400.0


def test_more_steps_are_worth_something(task):
    assert loss(task, Instance(0), sample_size=8_000) < loss(task, Instance(0), sample_size=256)


def test_a_policy_that_diverges_has_a_loss(task):
    broken = replace(MODEL, learning_rate=1e30)
    assert -500.0 <= loss(task, Instance(0), model=broken) <= -1.0


def test_advantages_are_the_discounted_sum_of_errors():
    model = replace(MODEL, discount=0.9, gae_lambda=0.5)
    flags = torch.zeros((4, 1), dtype=torch.bool)
    ended = flags.clone()
    ended[1] = True
    rollout = cartpole.Rollout(
        states=torch.zeros((5, 1, 4)),
        actions=flags,
        rewards=torch.ones((4, 1)),
        terminated=ended,
        ended=ended,
        counts=~flags,
    )
    values = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])
    errors = [1 + 0.9 * 2 - 1, 1 - 2, 1 + 0.9 * 4 - 3, 1 + 0.9 * 5 - 4]
    expected = [errors[0] + 0.45 * errors[1], errors[1], errors[2] + 0.45 * errors[3], errors[3]]
    found = cartpole.advantages(model, rollout, values)
    assert found.squeeze(1).tolist() == pytest.approx(expected)


def test_the_search_space_can_be_searched(task):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        model = task.suggest(study.ask())
        assert 0.8 <= model.discount < 1.0
        assert 1 <= model.n_epochs <= 6
    assert len(study.trials[0].params) == 8


def test_there_are_no_fixed_rows(task):
    with pytest.raises(KeyError):
        task.fixed("best")
