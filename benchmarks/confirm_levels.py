"""How often intervals of a confirmation cover, its tests err, and its probabilities hold."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from collections.abc import Sequence
import itertools
import time
from typing import Any

import numpy as np
import optuna
from scipy import special
from scipy import stats

from benchmarks.confirm_factors import factor_rows
from benchmarks.confirm_pairs import bootstrap_spreads
from benchmarks.confirm_pairs import draw
from benchmarks.confirm_pairs import lognormal
from benchmarks.confirm_pairs import N_RESAMPLES
from benchmarks.confirm_pairs import negative_lognormal
from benchmarks.confirm_pairs import t3
from benchmarks.confirm_pairs import true_differences
import optuna_robust as opr
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._error_scale import error_factor
from optuna_robust.comparison import probability_of_best
from optuna_robust.criteria import Criterion
from optuna_robust.criteria import get_criterion


CRITERIA = ("mean", "median", "q3+iqr", "std", "cvar")
_N_INSTANCES = (5, 10, 20, 30, 100)
# Standard deviation of the common noise, beside that of the own.
_RATIOS = (0.01, 0.1, 1.0, 10.0, 100.0)
# Standard deviation of the first model's own noise, beside that of the second's.
_EQUAL, _TWICE, _FOUR_TIMES = 1.0, 2.0, 4.0
_ALPHA = 0.05


def p_values(
    losses: FloatArray,
    criteria: Sequence[Criterion],
    differences: Sequence[float],
    rng: np.random.Generator,
) -> list[FloatArray]:
    """Return p-values that a confirmation gives to the hypotheses that criteria differ so."""
    n = losses.shape[2]
    spreads = bootstrap_spreads(losses, criteria, rng)
    ranks = stats.rankdata(losses, axis=2)
    ranks -= ranks.mean(axis=2, keepdims=True)
    correlations = ranks.prod(axis=1).sum(axis=1) / np.sqrt((ranks**2).sum(axis=2).prod(axis=1))
    p = []
    for criterion, difference, spread in zip(criteria, differences, spreads, strict=True):
        values = criterion(losses)
        errors = spread * error_factor(criterion, n, correlations)
        deviations = values[:, 0] - values[:, 1] - difference
        p.append(2.0 * special.stdtr(n - 1, -np.abs(deviations) / errors))
    return p


def exchange_p_values(
    losses: FloatArray, criterion: Criterion, rng: np.random.Generator
) -> FloatArray:
    """Return p-values of the exchange test, that of version 0.1.0."""
    exchanged = rng.random((N_RESAMPLES, losses.shape[2])) < 0.5
    values = criterion(losses)
    observed = np.abs(values[:, 0] - values[:, 1])
    n_extreme = np.ones(len(losses))
    for which in exchanged:
        values = criterion(np.where(which, losses[:, ::-1], losses))
        n_extreme += np.abs(values[:, 0] - values[:, 1]) >= observed * (1.0 - 1e-12)
    return n_extreme / (N_RESAMPLES + 1)


def coverages(
    rng: np.random.Generator, n_pairs: int, n_instances: int, **options: Any
) -> list[float]:
    """Return how often intervals cover the difference of the criteria."""
    criteria = [get_criterion(name) for name in CRITERIA]
    differences = true_differences(rng, n_pairs, n_instances, criteria, **options)
    losses = draw(rng, n_pairs, n_instances, **options)
    return [float((p > _ALPHA).mean()) for p in p_values(losses, criteria, differences, rng)]


def rejections(
    rng: np.random.Generator,
    n_pairs: int,
    n_instances: int,
    name: str,
    gap: float | None,
    **options: Any,
) -> tuple[float, float]:
    """Return how often a confirmation's test and the exchange test reject.

    The criteria differ by ``gap`` times the standard deviation of their difference, or as the
    spreads make them (None).
    """
    criterion = get_criterion(name)
    losses = draw(rng, n_pairs, n_instances, **options)
    if gap is not None:
        (difference,) = true_differences(rng, n_pairs, n_instances, [criterion], **options)
        values = criterion(losses)
        shift = gap * float((values[:, 0] - values[:, 1]).std()) - difference
        losses += np.array([[shift], [0.0]])
    (p,) = p_values(losses, [criterion], [0.0], rng)
    p_exchange = exchange_p_values(losses, criterion, rng)
    return float((p <= _ALPHA).mean()), float((p_exchange <= _ALPHA).mean())


def brier_scores(
    rng: np.random.Generator, n_sets: int, n_instances: int, name: str, ratio: float
) -> tuple[float, float]:
    """Return the Brier scores of P(best) of five models, and of an oracle.

    The oracle knows the distribution of the criteria's errors, but nothing of the models' levels,
    which differ by about such an error.
    """
    criterion, n_models = get_criterion(name), 5

    def noise(n: int) -> FloatArray:
        common = ratio * rng.normal(size=(n, 1, n_instances))
        return np.asarray(common + rng.normal(size=(n, n_models, n_instances)))

    errors = criterion(noise(20_000))
    errors -= errors.mean(axis=0)
    levels = np.sqrt(2.0) * (errors - errors.mean(axis=1, keepdims=True)).std()
    scores = np.zeros((n_sets, 2))
    for score, losses in zip(scores, noise(n_sets), strict=True):
        truth = levels * rng.normal(size=n_models)
        shifted = losses + truth[:, None]
        is_best = np.arange(n_models) == truth.argmin()
        best = (criterion(shifted) - errors).argmin(axis=1)
        oracle = np.bincount(best, minlength=n_models) / len(errors)
        found = probability_of_best(shifted, criterion)
        score[:] = ((found - is_best) ** 2).sum(), ((oracle - is_best) ** 2).sum()
    ours, oracles = scores.mean(axis=0)
    return float(ours), float(oracles)


def seconds_of_confirm() -> float:
    """Return how long a confirmation of 10 models on 100 instances takes beside its trainings."""

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        return trial.suggest_float("x", 0.0, 1.0) + float(instance.rng.normal())

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: objective(trial, opr.Instance(trial.number)), n_trials=10)
    result = opr.confirm(study, objective, n_models=10, n_instances=100)
    start = time.perf_counter()
    opr.confirm(study, objective, n_models=10, n_instances=100)  # the trainings are kept
    assert len(result.pairs) == 45
    return time.perf_counter() - start


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "confirm-levels",
        help="coverage, level and power of a confirmation's pairs",
        description=__doc__,
    )
    parser.add_argument(
        "--n-pairs", type=int, default=4000, help="pairs a cell; default: %(default)s"
    )
    parser.add_argument(
        "--n-sets", type=int, default=400, help="sets of models for P(best); default: %(default)s"
    )
    parser.add_argument(
        "--fit",
        action="store_true",
        help="fit the factors of standard errors anew, and print them beside those in use",
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, command: str) -> int:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"`{command}`\n")
    if args.fit:
        head = ("n", "noise", "criterion", "in use", "fitted", "its error", "allowed")
        _print_table(head, factor_rows(args.n_pairs))
        return 0
    _print_table(("n", *CRITERIA), _coverage_rows(args.n_pairs))
    _print_table(("losses", "n", *CRITERIA), _other_rows(args.n_pairs))
    _print_table(
        ("criterion", "n", "spreads", "difference", "rejected", "by exchanges"),
        _power_rows(args.n_pairs // 4),
    )
    _print_table(("criterion", "n", "Brier", "oracle", "ratio"), _brier_rows(args.n_sets))
    print(f"confirm of 10 models on 100 instances, trained before: {seconds_of_confirm():.2f} s")
    return 0


def _print_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    head = list(header)
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)
    print()


def _coverage_rows(n_pairs: int) -> Iterable[list[str]]:
    """Yield the least and the most coverage over noise in common and spreads."""
    rng = np.random.default_rng(0)
    for n in _N_INSTANCES:
        found = np.array(
            [
                coverages(rng, n_pairs, n, ratio=ratio, spreads=spreads)
                for ratio, spreads in itertools.product(_RATIOS, (_EQUAL, _TWICE))
            ]
        )
        yield [str(n), *(f"{column.min():.3f} to {column.max():.3f}" for column in found.T)]


def _other_rows(n_pairs: int) -> Iterable[list[str]]:
    """Yield the coverage where noise is not normal, or spreads are far apart."""
    rng = np.random.default_rng(1)
    others: list[tuple[str, dict[str, Any]]] = [
        ("spreads 4 : 1", {"spreads": _FOUR_TIMES}),
        ("t3", {"spreads": _TWICE, "noise": t3}),
        ("lognormal", {"spreads": _TWICE, "noise": lognormal}),
        ("lognormal, maximised", {"spreads": _TWICE, "noise": negative_lognormal}),
    ]
    for (name, options), n in itertools.product(others, (10, 30)):
        found = coverages(rng, n_pairs, n, ratio=0.5, **options)
        yield [name, str(n), *(f"{coverage:.3f}" for coverage in found)]


def _power_rows(n_pairs: int) -> Iterable[list[str]]:
    """Yield how often both tests reject, without a difference, and with one."""
    rng = np.random.default_rng(2)
    in_level = itertools.product(("mean", "median", "q3+iqr", "cvar"), (0.0, 3.0), (1.0, 2.0))
    in_spread = [("q3+iqr", None, 3.0), ("std", None, 1.0), ("std", None, 3.0)]
    for (name, gap, spreads), n in itertools.product([*in_level, *in_spread], (10, 30)):
        shares = rejections(rng, n_pairs, n, name, gap, ratio=1.0, spreads=spreads)
        what = "spread alone" if gap is None else f"{gap:g} errors" if gap else "none"
        yield [name, str(n), f"{spreads:g} : 1", what, *(f"{share:.3f}" for share in shares)]


def _brier_rows(n_sets: int) -> Iterable[list[str]]:
    rng = np.random.default_rng(3)
    for name, n in itertools.product(CRITERIA, (10, 30)):
        if name == "std":  # shifts do not make it differ
            continue
        ours, oracle = brier_scores(rng, n_sets, n, name, 1.0)
        yield [name, str(n), f"{ours:.3f}", f"{oracle:.3f}", f"{ours / oracle:.3f}"]
