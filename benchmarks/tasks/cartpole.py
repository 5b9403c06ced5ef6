"""Reinforcement learning: a policy balances a pole on a cart (gymnasium's CartPole-v1).

Policies are trained with proximal policy optimisation (Schulman et al. 2017) for so many steps of
the environment as the sample has: few, as under a budget of computing time, so that most
hyperparameters do not reach the longest return and good ones do so in some trainings only.

Parts are sets of episodes: validation and test begin in other states, and training in others
again.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from optuna.trial import BaseTrial
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional

from benchmarks.tasks import Part
from benchmarks.tasks import Setting
from optuna_robust import Instance


_ENVIRONMENT = "CartPole-v1"
_LONGEST = 500
_N_INPUTS = 4
N_ENVIRONMENTS = 32
N_EPISODES = 64
_BATCH_SIZE = 256
_VALUE_WEIGHT = 0.5
_LARGEST_GRADIENT = 0.5
# More steps than anybody trains with here.
_MOST_STEPS = 1_000_000
_PARTS: dict[Part, int] = {"validation": 0, "test": 1}
_N_SEEDS = 2**31


@dataclass(frozen=True)
class Model:
    """One set of hyperparameters.

    Args:
        learning_rate:
            Of Adam.
        discount:
            Of rewards, a step.
        gae_lambda:
            Of generalised advantage estimation (Schulman et al. 2016).
        entropy_bonus:
            Weight of the policy's entropy.
        width:
            Of the hidden layers of policy and value.
        rollout_length:
            Steps of every environment between updates.
        n_epochs:
            Passes over a rollout.
        clip_range:
            How far the ratio of probabilities counts.
    """

    learning_rate: float
    discount: float
    gae_lambda: float
    entropy_bonus: float
    width: int
    rollout_length: int
    n_epochs: int
    clip_range: float


def suggest_model(trial: BaseTrial) -> Model:
    """Draw a model from the search space."""
    return Model(
        learning_rate=trial.suggest_float("learning_rate", 1e-4, 3e-2, log=True),
        discount=1.0 - trial.suggest_float("one_minus_discount", 1e-3, 0.2, log=True),
        gae_lambda=trial.suggest_float("gae_lambda", 0.8, 1.0),
        entropy_bonus=trial.suggest_float("entropy_bonus", 1e-5, 0.1, log=True),
        width=trial.suggest_int("width", 8, 64, log=True),
        rollout_length=trial.suggest_int("rollout_length", 16, 128, log=True),
        n_epochs=trial.suggest_int("n_epochs", 1, 6),
        clip_range=trial.suggest_float("clip_range", 0.05, 0.4),
    )


class CartPole:
    """Policies for a pole on a cart; see :class:`~benchmarks.tasks.Task`.

    Args:
        seed:
            Of the states in which the episodes of validation and test begin.
    """

    def __init__(self, *, seed: int) -> None:
        self._seed = seed

    @property
    def trains_together(self) -> bool:
        """Networks are small, and trained on a CPU."""
        return False

    @property
    def n_population(self) -> int:
        """Most steps of the environments that a policy is trained with."""
        return _MOST_STEPS

    def suggest(self, trial: BaseTrial) -> Model:
        """Draw a model from the search space."""
        return suggest_model(trial)

    def fixed(self, name: str) -> Model:
        """There are no fixed rows."""
        raise KeyError(name)

    def losses(
        self, model: Model, instances: Sequence[Instance], *, part: Part, sample_size: int
    ) -> list[float]:
        """Train instances of a model, and return minus the mean return of each on a part."""
        seed_of_episodes = episodes_seed(self._seed, part)
        found = []
        for instance in instances:
            with _one_thread():
                policy = train(model, instance, n_steps=sample_size)
                found.append(-mean_return(policy, seed=seed_of_episodes))
        return found


def load(*, seed: int, setting: Setting) -> CartPole:
    """Return the task with the episodes of this seed."""
    return CartPole(seed=seed)


def episodes_seed(seed: int, part: Part) -> int:
    """Return the seed of the states in which the episodes of a part begin."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_PARTS[part],))
    return int(sequence.generate_state(1)[0])


@dataclass(frozen=True)
class Rollout:
    """What happened in some steps of all environments; shapes begin with (steps, environments).

    Attributes:
        states: One more than steps, shape ``(n_steps + 1, n_environments, 4)``.
        actions: 0 or 1.
        rewards: Of the steps.
        terminated: Where the pole fell.
        ended: Where an episode ended, for that or for its length.
        counts: False where an environment only began a new episode.
    """

    states: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    ended: Tensor
    counts: Tensor


def train(model: Model, instance: Instance, *, n_steps: int) -> nn.Sequential:
    """Return a policy: its output is the log odds of pushing to the right.

    Initial weights come from the instance's seed, environments from its sample, actions and the
    order of updates from its order seed.

    Args:
        model:
            Hyperparameters.
        instance:
            The instance.
        n_steps:
            Steps of all environments together.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(instance.seed)
        learner = _Learner(model)
    rng = np.random.default_rng(instance.order_seed)
    play = _Play(seed=int(instance.sample(_N_SEEDS, 1, replace=True)[0]))
    left = n_steps // N_ENVIRONMENTS
    while left > 0:
        length = min(model.rollout_length, left)
        learner.update(play.roll(learner.policy, length, rng), rng)
        left -= length
    return learner.policy


def mean_return(policy: nn.Sequential, *, seed: int) -> float:
    """Return the mean length of episodes in which the policy does what it finds likelier.

    Args:
        policy:
            As :func:`train` returns it.
        seed:
            Of the states in which episodes begin.
    """
    environments = _environments(N_EPISODES)
    states, _ = environments.reset(seed=seed)
    lengths = np.zeros(N_EPISODES)
    goes_on = np.ones(N_EPISODES, dtype=np.bool_)
    with torch.inference_mode():
        for _ in range(_LONGEST):
            actions = (policy(torch.from_numpy(states)).squeeze(1) > 0.0).numpy()
            states, _, terminated, _, _ = environments.step(actions.astype(np.int64))
            lengths += goes_on
            goes_on &= ~terminated
            if not goes_on.any():
                break
    return float(lengths.mean())


def _environments(n: int) -> Any:
    return gymnasium.make_vec(
        _ENVIRONMENT, num_envs=n, vectorization_mode="vector_entry_point"
    ).unwrapped


def _network(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(_N_INPUTS, width),
        nn.Tanh(),
        nn.Linear(width, width),
        nn.Tanh(),
        nn.Linear(width, 1),
    )


class _Play:
    """Environments in the middle of their episodes."""

    def __init__(self, *, seed: int) -> None:
        self._environments = _environments(N_ENVIRONMENTS)
        self._states, _ = self._environments.reset(seed=seed)
        self._ended = np.zeros(N_ENVIRONMENTS, dtype=np.bool_)

    def roll(self, policy: nn.Sequential, length: int, rng: np.random.Generator) -> Rollout:
        """Let the policy act; where an episode has ended, the next step only begins another."""
        shape = (length, N_ENVIRONMENTS)
        states = np.empty((length + 1, N_ENVIRONMENTS, _N_INPUTS), dtype=np.float32)
        rewards = np.empty(shape, dtype=np.float32)
        actions, terminated, ended, counts = (np.empty(shape, dtype=np.bool_) for _ in range(4))
        draws = rng.logistic(size=shape)
        with torch.inference_mode():
            for step in range(length):
                states[step], counts[step] = self._states, ~self._ended
                log_odds = policy(torch.from_numpy(states[step])).squeeze(1).numpy()
                actions[step] = draws[step] < log_odds
                self._states, rewards[step], terminated[step], too_long, _ = (
                    self._environments.step(actions[step].astype(np.int64))
                )
                self._ended = ended[step] = terminated[step] | too_long
        states[length] = self._states
        arrays = (states, actions, rewards, terminated, ended, counts)
        return Rollout(*map(torch.from_numpy, arrays))


class _Learner:
    """A policy, with the value of states, and how they are improved."""

    def __init__(self, model: Model) -> None:
        self.policy, self._value = _network(model.width), _network(model.width)
        self._model = model
        self._parameters = [*self.policy.parameters(), *self._value.parameters()]
        self._optimizer = torch.optim.Adam(
            self._parameters, lr=model.learning_rate, eps=1e-5, fused=True
        )

    def update(self, rollout: Rollout, rng: np.random.Generator) -> None:
        """Learn from a rollout (Schulman et al. 2017, equations 7 and 9)."""
        with torch.no_grad():
            values = self._value(rollout.states).squeeze(2)
            of_steps = advantages(self._model, rollout, values)
            states = rollout.states[:-1][rollout.counts]
            signs = 2.0 * rollout.actions[rollout.counts].float() - 1.0
            before = functional.logsigmoid(signs * self.policy(states).squeeze(1))
            numbers = [
                signs,
                before,
                _standardised(of_steps[rollout.counts]),
                (of_steps + values[:-1])[rollout.counts],
            ]
            steps = torch.cat([states, torch.stack(numbers, dim=1)], dim=1)
        for _ in range(self._model.n_epochs):
            shuffled = steps[torch.from_numpy(rng.permutation(len(steps)))]
            for batch in shuffled.split(_BATCH_SIZE):
                self._step(batch[:, :_N_INPUTS], *batch[:, _N_INPUTS:].unbind(dim=1))

    def _step(
        self, states: Tensor, signs: Tensor, before: Tensor, gains: Tensor, returns: Tensor
    ) -> None:
        log_odds = self.policy(states).squeeze(1)
        ratio = (functional.logsigmoid(signs * log_odds) - before).exp()
        clip = self._model.clip_range
        clipped = ratio.clamp(1.0 - clip, 1.0 + clip)
        gain = torch.minimum(ratio * gains, clipped * gains).mean()
        error = functional.mse_loss(self._value(states).squeeze(1), returns)
        bonus = self._model.entropy_bonus * _entropy(log_odds)
        self._optimizer.zero_grad()
        (_VALUE_WEIGHT * error - gain - bonus).backward()
        nn.utils.clip_grad_norm_(self._parameters, _LARGEST_GRADIENT)
        self._optimizer.step()


def _entropy(log_odds: Tensor) -> Tensor:
    """Return the mean entropy of choices between two: -p log p - (1 - p) log (1 - p)."""
    return (functional.softplus(log_odds) - log_odds.sigmoid() * log_odds).mean()


def advantages(model: Model, rollout: Rollout, values: Tensor) -> Tensor:
    """Return generalised advantage estimates (Schulman et al. 2016, equation 16)."""
    goes_on = (~rollout.terminated).float()
    errors = rollout.rewards + model.discount * goes_on * values[1:] - values[:-1]
    decay = model.discount * model.gae_lambda * (~rollout.ended).float()
    found = torch.empty_like(errors)
    following = torch.zeros_like(errors[0])
    for step in reversed(range(len(errors))):
        following = found[step] = errors[step] + decay[step] * following
    return found


def _standardised(values: Tensor) -> Tensor:
    return (values - values.mean()) / (values.std(correction=0) + 1e-8)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sum in one order, however many threads PyTorch has; small networks gain nothing by them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
