"""How many instances it takes to tell two models apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math

import numpy.typing as npt

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_count
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._pilot import pilot_noise
from optuna_robust._statistics.comparison._pilot import PilotNoise
from optuna_robust._statistics.comparison._power import is_asymptotically_normal
from optuna_robust._statistics.comparison._power import is_known
from optuna_robust._statistics.comparison._power import normal_test_power
from optuna_robust._statistics.comparison._power import pitman_morgan_power
from optuna_robust._statistics.comparison._power import simulated_difference
from optuna_robust._statistics.comparison._power import t_test_power
from optuna_robust._statistics.comparison._power import variance_ratio_power
from optuna_robust._statistics.criteria import check_min_instances
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion


# Nobody trains as many.
_MOST_INSTANCES = 1_000_000
# Simulated where it is not known how a criterion goes on.
_MOST_SIMULATED = 1_000
# Every number up to this is tried: criteria of quantiles do not always get better with n.
_MOST_TRIED = 32
# A plan for what detectable_effect returns must not fail by rounding.
_TOLERANCE = 1e-9
# Of a criterion, relative to its value.
_ROUNDING = 1e-12


def required_instances(
    pilot: npt.ArrayLike,
    effect: float,
    *,
    criterion: str | Callable[[FloatArray], float] | Criterion,
    power: float = 0.8,
    alpha: float = 0.05,
    common_instances: bool = True,
) -> int:
    """Return with how many instances each a test tells two models apart.

    That is the least n with which a two-sided test at level ``alpha`` shows that the criterion of
    two models differs, with a probability of at least ``power`` if it does by ``effect``. Losses
    are taken to be normal, with the variances of a typical model of the pilot: the median of the
    models' true variances (the prior of :func:`~optuna_robust.comparison.moderate_variances`),
    so that a few wild models do not count. The tests:

    * ``mean``: on common instances the paired t test, with n - 1 degrees of freedom and the noise
      that is left when the effects of instances, which cancel in a difference, are taken out
      (:func:`~optuna_robust.comparison.fit_additive`); else the two-sample t test, 2 (n - 1). The
      power is exact, from the noncentral t distribution (Cohen 1988, chapter 2).
    * ``std``: on common instances the test of Pitman (1939) and Morgan (1939), else the F test.
      Their power is exact. The two standard deviations are that of a typical model's losses as
      measured, s, and s + ``effect``.
    * Other criteria of level, mixed ones and callables: the difference of the two criteria over
      its standard error, referred to the t distribution of ``mean``. The standard error, for
      models that differ in level only, is simulated with the effects of common instances, which
      cancel in part. The test keeps its level and has the power within 0.01 from n = 5 on.
    * ``iqr`` and ``mad``: the difference of their logarithms over its simulated standard error,
      referred to the normal distribution (level up to 0.06 with n below 10); ``effect`` adds to
      what the criterion of a typical model is expected to be at n. If the effects of instances
      are most of the variance, the power is up to 0.05 less.

    For ``q3+iqr``, :func:`~optuna_robust.comparison.paired_criterion_test` rejects about as often
    as such a test (0.77 to 0.80 for a power of 0.8, with 10 to 40 instances).

    A plan is for one pair of models. Testing several pairs takes a smaller ``alpha``
    (:func:`~optuna_robust.comparison.holm`); a race of many models, which borrow strength, tells
    its models apart with less where n is 2 or 3.

    **How sure.** The number is proportional to the variance that the pilot estimates. From ν
    degrees of freedom that has a relative standard error of ``sqrt(2 / ν)``: 0.7 with five losses
    of one model, 0.1 with 20 models of 11 losses. A plan from few losses is a guess, and more
    often too small than too large (Browne 1995, who plans with an upper confidence limit of the
    variance). Simulation (20 000 pairs of models, fixed seed) adds 1 % to n, and going on from
    128 to more instances along their root up to 2 %; with a callable (2 000 pairs) it is 3 %.
    Losses with heavy tails take more instances than normal ones, above all for criteria of spread
    and of the tail.

    ``max`` and ``min`` are those of n instances. Both models' maxima grow with n, their
    difference does not: it has the effect's size at every n. But chance falls out of it very
    slowly: between 10 and 1000 normal losses the standard deviation of a maximum goes from 0.59
    to 0.35 of that of a loss (for means from 0.32 to 0.03). Small effects are out of reach.

    Args:
        pilot:
            Losses, shape ``(n_models, n_instances)``, or ``(n_instances,)`` of one model; NaN =
            not trained. Infinite losses (failed instances) are as if not trained, so that plans
            hold for models that do not fail. Whether losses are oriented to be minimised does not
            matter for named criteria; a callable gets normal losses about the pilot's level, in
            up to 200 000 calls.
        effect:
            Difference of the two models' criterion, in units of the loss, above 0.
        criterion:
            A name or callable as in :func:`~optuna_robust.criteria.get_criterion`.
        power:
            Probability to tell them apart, above ``alpha``.
        alpha:
            Level of the two-sided test.
        common_instances:
            Whether instance j is the same for all models, in the pilot and later. With one model
            the effects of instances cannot be known, and the plan is as without.

    Returns:
        Number of instances of each model, at least 2, or 3 for ``std`` on common instances. It
        is the same for equal arguments. Quantiles fall on losses, or between them, depending on n
        modulo 4, so that one instance more can have a little less power for such criteria; from
        33 on n is then one that suffices where n - 1 does not.

    Raises:
        ValueError: If ``effect``, ``power`` or ``alpha`` lies outside its range, the criterion is
            unknown, the pilot has no model with two losses or none that vary, or more than
            1 000 000 instances (1000 for ``max``, ``min`` and callables) are needed.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import detectable_effect
        >>> from optuna_robust.comparison import required_instances
        >>> pilot = np.random.default_rng(0).normal(0.2, 0.01, size=(30, 5))
        >>> required_instances(pilot, 0.01, criterion="mean")
        15
        >>> round(detectable_effect(pilot, 15, criterion="mean"), 4)
        0.01
    """
    plan = _plan(pilot, criterion, power, alpha, common_instances=common_instances)
    check_between("effect", effect, 0.0, math.inf)

    def enough(n: int) -> bool:
        return plan.power_with(n)(float(effect)) >= power - _TOLERANCE

    for n in range(plan.fewest, _MOST_TRIED + 1):
        if enough(n):
            return n
    too_few = max(plan.fewest - 1, _MOST_TRIED)
    n = min(2 * too_few, plan.most)
    while not enough(n):
        if n == plan.most:
            least = _solve(plan, n, power)
            raise ValueError(
                f"effect={effect:g} of criterion {plan.criterion.name!r} takes more than {n} "
                f"instances to be told with power {power:g}; with so many "
                + ("the criterion has no value." if least is None else f"it must be {least:.3g}.")
            )
        too_few, n = n, min(2 * n, plan.most)
    while n - too_few > 1:
        middle = (too_few + n) // 2
        too_few, n = (too_few, middle) if enough(middle) else (middle, n)
    return n


def detectable_effect(
    pilot: npt.ArrayLike,
    n_instances: int,
    *,
    criterion: str | Callable[[FloatArray], float] | Criterion,
    power: float = 0.8,
    alpha: float = 0.05,
    common_instances: bool = True,
) -> float:
    """Return the difference of two models that a number of instances each can tell.

    The inverse of :func:`required_instances`, where tests and assumptions stand.

    Args:
        pilot:
            As for :func:`required_instances`.
        n_instances:
            Instances of each model; at least 2, or 3 for ``std`` on common instances.
        criterion:
            As for :func:`required_instances`.
        power:
            As for :func:`required_instances`.
        alpha:
            As for :func:`required_instances`.
        common_instances:
            As for :func:`required_instances`.

    Returns:
        The smallest difference of the criterion, in units of the loss, that a two-sided test at
        level ``alpha`` shows with probability ``power``. It has half the relative error of n.

    Raises:
        ValueError: If an argument lies outside its range, the criterion is unknown or has no
            finite value with so many instances, or the pilot has no model with two losses or none
            that vary.

    Example:
        >>> from optuna_robust.comparison import detectable_effect
        >>> pilot = [[0.91, 0.93, 0.90, 0.94], [0.95, 0.96, 0.95, 0.99]]
        >>> round(detectable_effect(pilot, 5, criterion="mean"), 3)
        0.016
    """
    plan = _plan(pilot, criterion, power, alpha, common_instances=common_instances)
    check_count("n_instances", n_instances, minimum=plan.fewest)
    if n_instances > plan.most:
        raise ValueError(
            f"n_instances must be at most {plan.most} for criterion {plan.criterion.name!r}, "
            f"but was {n_instances}."
        )
    found = _solve(plan, n_instances, power)
    if found is None:
        raise ValueError(
            f"criterion {plan.criterion.name!r} must have finite values that differ between "
            f"models, but had none for {n_instances} normal losses like the pilot's."
        )
    return found


@dataclass(frozen=True)
class _Plan:
    """What the power of a test depends on, but for the effect and n."""

    criterion: Criterion
    noise: PilotNoise
    alpha: float
    fewest: int
    most: int

    def power_with(self, n: int) -> Callable[[float], float]:
        """Return the power with n instances as a function of the effect.

        It is NaN where the criterion has no value.
        """
        level, noise, instances, paired = self.noise
        total = noise + instances
        name = self.criterion.name if is_known(self.criterion) else ""
        if name == "std":
            if paired:
                return lambda effect: pitman_morgan_power(
                    1.0 + effect / math.sqrt(total), instances / total, n, self.alpha
                )
            return lambda effect: variance_ratio_power(
                1.0 + effect / math.sqrt(total), n, self.alpha
            )
        if name == "mean":
            error = math.sqrt(2.0 * noise / n)
        else:
            chance = simulated_difference(
                self.criterion, n, level=level, noise=noise, instances=instances
            )
            if self.criterion.kind == "spread":
                if not (chance.mean > 0.0 and chance.log_std > _ROUNDING):
                    return lambda _: math.nan
                return lambda effect: normal_test_power(
                    math.log1p(effect / chance.mean) / chance.log_std, self.alpha
                )
            # No difference but rounding: a criterion that is the same for all models.
            error = chance.std if chance.std > _ROUNDING * abs(chance.mean) else math.nan
        df = n - 1.0 if paired else 2.0 * (n - 1.0)
        return lambda effect: float(t_test_power(effect / error, df, self.alpha))


def _plan(
    pilot: npt.ArrayLike,
    criterion: str | Callable[[FloatArray], float] | Criterion,
    power: float,
    alpha: float,
    *,
    common_instances: bool,
) -> _Plan:
    chosen = get_criterion(criterion)
    check_between("alpha", alpha, 0.0, 1.0)
    check_between("power", power, alpha, 1.0)
    noise = pilot_noise(pilot, common_instances=common_instances)
    most = _MOST_INSTANCES if is_asymptotically_normal(chosen) else _MOST_SIMULATED
    check_min_instances(chosen, most)
    needs_correlation = noise.paired and is_known(chosen) and chosen.name == "std"
    fewest = max(3 if needs_correlation else 2, chosen.min_instances)
    return _Plan(chosen, noise, alpha, fewest, most)


def _solve(plan: _Plan, n: int, power: float) -> float | None:
    """Return the effect that has a power; None if the criterion has no value."""
    from scipy import optimize  # noqa: PLC0415

    power_of = plan.power_with(n)
    high = math.sqrt(plan.noise.noise)
    if math.isnan(power_of(high)):
        return None
    while power_of(high) < power:
        high *= 2.0
    return float(
        optimize.brentq(
            lambda effect: power_of(effect) - power, 0.0, high, xtol=1e-14 * high, rtol=1e-14
        )
    )
