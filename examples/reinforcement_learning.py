"""Reinforcement learning: a policy that balances a pole, and does so when trained again.

Returns depend on the seed more than most losses. The seed of an instance goes to the policy's
noise and to the environment, and every policy is judged by episodes of its own. The policy is
linear and found by random search (differences of returns): nothing but gymnasium is needed.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import optuna

import optuna_robust as opr


N_UPDATES = 5


def episode(environment: gymnasium.Env, weights: np.ndarray, seed: int) -> float:
    """Return the sum of rewards."""
    state, _ = environment.reset(seed=seed)
    total, ended = 0.0, False
    while not ended:
        state, reward, failed, late, _ = environment.step(int(weights @ state > 0))
        total, ended = total + float(reward), failed or late
    return total


def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    """Return the mean length of the episodes of one policy, at most 200."""
    n_directions = trial.suggest_int("n_directions", 1, 4)
    noise = trial.suggest_float("noise", 0.01, 1.0, log=True)
    step = trial.suggest_float("step", 0.01, 1.0, log=True)

    environment = gymnasium.make("CartPole-v1", max_episode_steps=200)
    rng = instance.rng
    weights = np.zeros(4)
    for _ in range(N_UPDATES):
        directions = rng.normal(size=(n_directions, 4))
        seed = int(rng.integers(2**31))  # both ways from the same state
        gains = [
            episode(environment, weights + noise * direction, seed)
            - episode(environment, weights - noise * direction, seed)
            for direction in directions
        ]
        weights += step * np.mean(gains * directions.T, axis=1) / (np.std(gains) + 1e-8)
    seeds = rng.integers(2**31, size=10)
    return float(np.mean([episode(environment, weights, int(seed)) for seed in seeds]))


def main() -> None:
    study = optuna.create_study(direction="maximize", sampler=opr.RobustnessSampler(seed=0))
    study.optimize(
        opr.MultiInstanceObjective(objective, n_instances=8),
        callbacks=[opr.MaxInstancesCallback(50)],
    )
    print(opr.recommend(study))
    best = study.best_trial
    print(f"best parameters: {best.params}")
    print(f"its returns: {[round(value) for value in best.user_attrs['robust:losses']]}")


if __name__ == "__main__":
    main()
