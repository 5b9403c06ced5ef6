"""How small p-values can get, and with how many instances tests can reject at all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations_with_replacement
import math

import numpy as np
import pytest
from scipy import stats

from optuna_robust._base.arrays import FloatArray
from optuna_robust.comparison import Alternative
from optuna_robust.comparison import compare_with_reference
from optuna_robust.comparison import get_test
from optuna_robust.comparison import instances_to_reject
from optuna_robust.comparison import smallest_p_value
from optuna_robust.comparison import TESTS


pytestmark = pytest.mark.filterwarnings("error")

ALTERNATIVES: tuple[Alternative, ...] = ("two-sided", "greater", "less")
WITHOUT_FLOOR = ("welch", "student", "paired-t", "bartlett", "pitman-morgan")
WITH_FLOOR = ("mannwhitneyu", "ks", "wilcoxon", "levene", "fligner")
SIZES = range(2, 13)
# Of p-values, relative.
ROUNDING = 1e-9

every_alternative = pytest.mark.parametrize("alternative", ALTERNATIVES)
every_test = pytest.mark.parametrize("name", sorted(TESTS))


exactly = partial(pytest.approx, rel=ROUNDING, abs=0.0)


def known_floor(name: str, n: int) -> float:
    """Return the two-sided floor by its formula."""
    if n < get_test(name).min_instances:
        return 1.0
    of_orders = 2.0 / math.comb(2 * n, n)
    share = (n - 1) / (n + 1) if n % 2 else 1.0
    tied = float(stats.mannwhitneyu([1.0] * n, [0.0] * n).pvalue)
    floors = {
        "wilcoxon": 2.0 ** (1 - n),
        "ks": of_orders,
        "mannwhitneyu": of_orders if n <= 8 else tied,
        "levene": float(2.0 * stats.t.sf(n - 1, 2 * n - 2)) if n % 2 else 0.0,
        "fligner": float(stats.chi2.sf((2 * n - 1) * share, 1)),
    }
    return floors.get(name, 0.0)


def smallest_of(x: FloatArray, references: FloatArray, name: str, side: Alternative) -> float:
    """Return the smallest p-value of all models beside all references."""
    p_values = [compare_with_reference(x, y, name, alternative=side) for y in references]
    return float(np.nanmin(p_values))


def smallest_of_pairs(x: FloatArray, y: FloatArray, name: str, side: Alternative) -> float:
    # The package's vectorised form: a reference for each model.
    with np.errstate(all="ignore"):
        return float(np.nanmin(get_test(name).p_value(x, y, side)))


def test_tests_with_and_without_floors_are_all_tests() -> None:
    assert sorted(WITH_FLOOR + WITHOUT_FLOOR) == sorted(TESTS)


@every_test
def test_floors_are_those_of_their_formulas(name: str) -> None:
    for n in SIZES:
        two_sided = known_floor(name, n)
        directed = 1.0 if n < get_test(name).min_instances else two_sided / 2.0
        assert smallest_p_value(name, n) == exactly(two_sided)
        assert smallest_p_value(name, n, "greater") == pytest.approx(
            directed, rel=ROUNDING, abs=0.0
        )
        assert smallest_p_value(name, n, "less") == exactly(directed)


def test_brown_forsythe_rejects_few_losses_less_easily_than_it_seems() -> None:
    floors = [smallest_p_value("levene", n) for n in (2, 3, 4, 5)]
    assert floors == pytest.approx([1.0, 0.1161, 0.0, 0.00395], rel=1e-3)


@pytest.mark.parametrize("name", ["mannwhitneyu", "ks", "wilcoxon"])
def test_one_instance_never_rejects_two_sided(name: str) -> None:
    assert smallest_p_value(name, 1) == 1.0
    assert smallest_p_value(name, 1, "greater") == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["mannwhitneyu", "ks", "levene", "fligner"])
@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
@pytest.mark.parametrize("n", [3, 4, 5])
def test_floor_is_the_least_of_all_losses_on_a_grid(
    name: str, alternative: Alternative, n: int
) -> None:
    """Five values make all orders of up to five losses with the ties that matter."""
    values = 5 if n < 5 else 4
    losses = np.array(list(combinations_with_replacement(np.arange(float(values)), n)))
    floor = smallest_p_value(name, n, alternative)
    assert smallest_of(losses, losses, name, alternative) == pytest.approx(floor, abs=1e-12)


@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
@pytest.mark.parametrize("n", [2, 3])
def test_floor_of_wilcoxon_is_the_least_of_all_differences(
    alternative: Alternative, n: int
) -> None:
    differences = np.array(list(combinations_with_replacement(np.arange(-2.0, 3.0), n)))
    p_value = smallest_of(differences, np.zeros((1, n)), "wilcoxon", alternative)
    assert p_value == pytest.approx(smallest_p_value("wilcoxon", n, alternative))


def losses_of_many_kinds(rng: np.random.Generator, n: int) -> Iterator[tuple[FloatArray, ...]]:
    """Yield pairs of models: scales and levels far apart, heavy tails, ties, constant ones."""
    size = (60, n)
    scale = 10.0 ** rng.uniform(-9.0, 9.0, size=(60, 1))
    yield rng.normal(size=size), scale * rng.normal(size=size)
    yield rng.normal(size=size), scale + rng.normal(size=size)
    yield rng.standard_t(1, size=size), scale * rng.standard_t(1, size=size)
    yield rng.lognormal(size=size), -scale * rng.lognormal(size=size)
    yield scale * np.sign(rng.normal(size=size)), rng.normal(size=size)
    yield (
        np.zeros(size),
        2.0 ** rng.integers(-9, 9, size=(60, 1)) * np.sign(np.arange(n) - (n - 1) / 2.0),
    )
    yield np.zeros(size), scale + np.arange(n) * rng.choice([0.0, 1e-9, 1.0], size=(60, 1))
    yield rng.integers(0, 2, size=size) * 1.0, rng.integers(0, 3, size=size) * 1.0


@pytest.mark.parametrize("name", WITH_FLOOR)
@every_alternative
def test_no_losses_are_below_the_floor_and_some_are_at_it(
    name: str, alternative: Alternative
) -> None:
    rng = np.random.default_rng(0)
    for n in SIZES:
        if n < get_test(name).min_instances:
            continue
        floor = smallest_p_value(name, n, alternative)
        least = min(
            smallest_of_pairs(*pair, name, alternative)
            for x, y in losses_of_many_kinds(rng, n)
            for pair in ((x, y), (y, x))
        )
        assert floor * (1.0 - ROUNDING) <= least <= floor * (1.0 + ROUNDING)


@pytest.mark.parametrize("name", ["levene", "fligner"])
@pytest.mark.parametrize("n", [3, 5, 7])
def test_a_search_for_the_smallest_p_value_ends_at_the_floor(name: str, n: int) -> None:
    """Climb from 60 random starts, by moves some of which make ties."""
    rng = np.random.default_rng(n)
    losses = rng.integers(-9, 10, size=(2, 60, n)) * 1.0
    p_values = get_test(name).p_value(*losses, "two-sided")
    for _ in range(250):
        moved = rng.random(losses.shape) < 1.0 / n
        others = rng.permuted(losses, axis=2)
        new = np.where(rng.random(losses.shape) < 0.5, others, rng.integers(-9, 10, losses.shape))
        near = np.where(moved, new, losses)
        with np.errstate(all="ignore"):
            found = get_test(name).p_value(*near, "two-sided")
        better = found <= p_values
        losses[:, better], p_values[better] = near[:, better], found[better]
    floor = smallest_p_value(name, n)
    assert floor * (1.0 - ROUNDING) <= np.nanmin(p_values) <= floor * (1.0 + ROUNDING)


@pytest.mark.parametrize("name", [*WITHOUT_FLOOR, "levene"])
@every_alternative
def test_p_values_without_floor_go_to_zero(name: str, alternative: Alternative) -> None:
    rng = np.random.default_rng(0)
    for n in range(get_test(name).min_instances, 13):
        if name == "levene" and n % 2:
            continue
        noise, quiet = rng.normal(size=(1, n)), 1e-12 * rng.normal(size=(1, n))
        if name == "levene":  # deviations of even numbers that are alike
            noise = quiet + np.sign(np.arange(n) - (n - 1) / 2.0)
        if get_test(name).kind == "spread":
            near, far = quiet, noise
        else:
            near = noise if get_test(name).paired else quiet
            far = near + 1.0 + 1e-12 * rng.normal(size=(1, n))
        x, y = (near, far) if alternative == "less" else (far, near)
        assert smallest_p_value(name, n, alternative) == 0.0
        assert smallest_of_pairs(x, y, name, alternative) < 1e-5


@pytest.mark.parametrize(
    ("name", "alpha", "alternative", "n_instances"),
    [
        ("wilcoxon", 0.05, "two-sided", 6),
        ("wilcoxon", 0.05, "greater", 5),
        ("wilcoxon", 0.01, "greater", 7),
        ("mannwhitneyu", 0.05, "two-sided", 4),
        ("mannwhitneyu", 0.05, "greater", 4),
        ("mannwhitneyu", 0.1, "greater", 3),
        ("ks", 0.05, "two-sided", 4),
        ("ks", 0.5, "two-sided", 2),
        ("welch", 0.05, "two-sided", 2),
        ("levene", 0.05, "greater", 4),
        ("levene", 0.1, "greater", 3),
        ("levene", 1e-6, "greater", 4),
        ("fligner", 0.05, "two-sided", 4),
        ("fligner", 0.05, "greater", 4),
        ("fligner", 0.1, "greater", 3),
        ("fligner", 0.001, "two-sided", 6),
        ("bartlett", 1e-6, "two-sided", 2),
        ("pitman-morgan", 1e-6, "two-sided", 3),
        ("wilcoxon", 1e-40, "greater", None),
    ],
)
def test_instances_to_reject(
    name: str, alpha: float, alternative: Alternative, n_instances: int | None
) -> None:
    assert instances_to_reject(name, alpha, alternative) == n_instances


@pytest.mark.parametrize(
    ("name", "alpha", "at_least", "n_instances"),
    [
        ("levene", 0.001, 4, 4),
        ("levene", 0.001, 5, 6),
        ("levene", 0.001, 7, 7),
        ("fligner", 0.01, 5, 6),
        ("wilcoxon", 0.05, 3, 6),
        ("welch", 0.05, 8, 8),
        ("welch", 0.05, 200, 200),
    ],
)
def test_instances_to_reject_from_some_number_on(
    name: str, alpha: float, at_least: int, n_instances: int
) -> None:
    assert instances_to_reject(name, alpha, at_least=at_least) == n_instances


@every_test
def test_fewer_instances_than_those_to_reject_cannot(name: str) -> None:
    for alpha in (0.3, 0.1, 0.05, 0.01, 1e-3):
        needed = instances_to_reject(name, alpha)
        assert needed is not None
        assert smallest_p_value(name, needed) < alpha
        assert all(smallest_p_value(name, n) >= alpha for n in range(1, needed))


def test_floor_bad_input() -> None:
    with pytest.raises(ValueError, match="test='t' is unknown"):
        smallest_p_value("t", 4)
    with pytest.raises(ValueError, match="test='t' is unknown"):
        instances_to_reject("t", 0.05)
    with pytest.raises(ValueError, match="alternative='worse' is unknown"):
        smallest_p_value("ks", 4, "worse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_instances must be at least 1, but was 0"):
        smallest_p_value("ks", 0)
    with pytest.raises(ValueError, match="at_least must be at least 1, but was 0"):
        instances_to_reject("ks", 0.05, at_least=0)
    with pytest.raises(ValueError, match=r"alpha must lie in \(0, 1\)"):
        instances_to_reject("ks", 1.0)
