"""What this package gives beside what others give for the same losses."""

from __future__ import annotations

from collections.abc import Iterator
import itertools
import math

import numpy as np
from scipy import stats

from benchmarks.checked_by_others.environment import Ask
from optuna_robust._base.arrays import FloatArray
from optuna_robust.comparison import bootstrap_interval
from optuna_robust.comparison import compare_with_reference
from optuna_robust.comparison import moderate_variances
from optuna_robust.comparison import paired_criterion_test
from optuna_robust.criteria import get_criterion


Row = tuple[str, str, str]

_N_CASES = 200
_N_PAIRS = 400
_N_RESAMPLES = 2000
_SETTINGS = (
    ("no difference, noise of their own", 0.0, 0.0),
    ("2 standard deviations, noise of their own", 2.0, 0.0),
    ("2 standard deviations, twice as much noise in common", 2.0, 2.0),
)


def limma(ask: Ask) -> Iterator[Row]:
    """Compare moderated variances."""
    rng = np.random.default_rng(0)
    for kind, degrees in (
        ("equal", [(float(df),) for df in (1, 2, 4, 19)]),
        ("unequal", [(1.0, 4.0), (2.0, 3.0, 4.0, 19.0)]),
    ):
        cases = []
        for case in range(_N_CASES):
            n_models = int(rng.integers(4, 300))
            df = rng.choice(degrees[case % len(degrees)], size=n_models)
            true = 8.0 / rng.chisquare(8.0, size=n_models) if case % 3 else np.ones(n_models)
            cases.append((true * rng.chisquare(df) / df, df, true))
        answers = ask([(variances.tolist(), df.tolist()) for variances, df, _ in cases])
        ours = [moderate_variances(variances, df) for variances, df, _ in cases]
        here = np.concatenate([found.posterior for found in ours])
        there = np.concatenate([answer["posterior"] for answer in answers])
        priors = [found.prior_variance for found in ours]
        prior_gap = np.array(priors) / [answer["prior_variance"] for answer in answers] - 1.0
        gap = max(np.abs(here / there - 1.0).max(), np.abs(prior_gap).max())
        truth = np.concatenate([true for _, _, true in cases])
        errors = [np.sqrt(np.mean(np.log(found / truth) ** 2)) for found in (here, there)]
        yield (
            f"moderated and prior variances, {kind} degrees of freedom",
            f"{_N_CASES} sets of 4 to 300 variances",
            f"relative difference at most {gap:.1g}; error of the logarithm {errors[0]:.3f} here, "
            f"{errors[1]:.3f} there",
        )


def interquartile_mean(losses: FloatArray) -> float:
    """Return the mean without a quarter of the losses at either end."""
    return float(stats.trim_mean(losses, 0.25))


def rliable(ask: Ask) -> Iterator[Row]:
    """Compare interquartile means, their intervals, and probabilities of improvement."""
    rng = np.random.default_rng(1)
    models = [rng.normal(size=n) for n in (10, 20, 40) for _ in range(10)]
    pooled = rng.normal(size=10)
    splits = [np.isin(np.arange(10), rows) for rows in itertools.combinations(range(10), 5)]
    answers = ask(
        {
            "models": [losses.tolist() for losses in models],
            "n_resamples": _N_RESAMPLES,
            "pairs": [(pooled[rows].tolist(), pooled[~rows].tolist()) for rows in splits],
        }
    )
    criterion = get_criterion(interquartile_mean)
    means = np.array([float(criterion(losses)) for losses in models])
    yield (
        "interquartile mean, as a callable criterion",
        f"{len(models)} models of 10 to 40 instances",
        f"difference at most {np.abs(means - answers['means']).max():.1g}",
    )
    ours = np.array(
        [bootstrap_interval(losses, criterion, n_resamples=_N_RESAMPLES) for losses in models]
    )
    theirs = np.array(answers["intervals"])
    gaps = np.abs(ours - theirs) / np.ptp(theirs, axis=1, keepdims=True)
    yield (
        "its 95 % interval (BCa, 2000 samples, other seeds)",
        f"{len(models)} models of 10 to 40 instances",
        f"ends differ by {np.median(gaps):.1%} of the width (median), {gaps.max():.0%} at most",
    )
    # The U statistic is the probability of improvement times the number of pairs of losses.
    sizes = np.abs(np.array(answers["probabilities"]) - 0.5)
    expected = [(sizes >= size - 1e-9).mean() for size in sizes]
    found = [
        float(compare_with_reference(pooled[rows][None], pooled[~rows], "mannwhitneyu")[0])
        for rows in splits
    ]
    yield (
        "p-value of `mannwhitneyu`: how many relabellings have such a probability of improvement",
        f"all {len(splits)} relabellings of 5 + 5 losses",
        f"difference at most {np.abs(np.subtract(found, expected)).max():.1g}",
    )


def adastop(ask: Ask) -> Iterator[Row]:
    """Compare decisions on pairs, at one interim with 5 evaluations each."""
    rng = np.random.default_rng(2)
    for name, gap, common in _SETTINGS:
        losses = rng.normal(size=(_N_PAIRS, 2, 5))
        losses += common * rng.normal(size=(_N_PAIRS, 1, 5)) + np.array([[gap], [0.0]])
        theirs = {
            alpha: np.array(ask({"pairs": losses.tolist(), "alpha": alpha}))
            for alpha in (0.05, 0.025)
        }
        ours = np.array([paired_criterion_test(x, y, "mean").p_value <= 0.05 for x, y in losses])
        error = math.sqrt(0.25 / _N_PAIRS)
        yield (
            f"differences of two means: {name}",
            f"{_N_PAIRS} pairs of 5 instances (standard error at most {error:.2f})",
            f"different here {ours.mean():.3f}, there {theirs[0.05].mean():.3f} at alpha = 0.05 "
            f"and {theirs[0.025].mean():.3f} at 0.025; the same decision at 0.025 in "
            f"{(ours == theirs[0.025]).mean():.0%}",
        )
