"""Moderated variances: the oracle, closed forms, outliers, and order."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy import special

from optuna_robust.comparison import moderate_variances
from tests.statistics.comparison.variances import sample_variances
from tests.statistics.comparison.variances import true_variances


pytestmark = pytest.mark.filterwarnings("error")

FOLDER = os.environ.get("OPTUNA_ROBUST_REFERENCE_DATA", "")

examples = settings(derandomize=True, deadline=None, max_examples=20)
either = pytest.mark.parametrize("robust", [False, True])


@st.composite
def variances_and_df(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_models = draw(st.integers(2, 40))
    df = rng.choice([0.5, 1.0, 2.0, 4.0, 19.0], size=n_models)
    if draw(st.booleans()):
        df[:] = df[0]
    return sample_variances(rng, true_variances(rng, n_models, 4.0), df), df


def assert_same(found, other, factor=1.0):
    """Compare all that does not depend on the order, with variances scaled by a factor."""
    assert found.prior_variance == pytest.approx(factor * other.prior_variance, rel=1e-5)
    assert found.prior_df == pytest.approx(other.prior_df, rel=1e-4)
    assert found.pooled_df == pytest.approx(other.pooled_df)


@pytest.mark.skipif(
    not FOLDER,
    reason="set OPTUNA_ROBUST_REFERENCE_DATA to the folder of moderated_variance_reference.json",
)
def test_moderated_variances_are_those_of_limma():
    cases = json.loads((Path(FOLDER) / "moderated_variance_reference.json").read_text())
    assert len(cases) == 5
    for case in cases:
        found = moderate_variances(case["variances"], case["df"])
        expected = math.inf if case["prior_df"] is None else case["prior_df"]
        assert found.prior_df == pytest.approx(expected, rel=1e-6)
        assert found.prior_variance == pytest.approx(case["prior_variance"], rel=1e-6)
        np.testing.assert_allclose(found.posterior, case["posterior_variances"], rtol=1e-6)


@pytest.mark.parametrize(
    ("variances", "df", "prior_variance", "prior_df", "posterior"),
    [
        (
            [0.5, 1.0, 2.0, 30.0],
            3,
            1.6203077486,
            1.6099900946,
            [0.8912555865, 1.216635895, 1.867396513, 20.0886938],
        ),
        (
            [0.0, 1.0, 3.0, 10.0, 2.0],
            2,
            0.0109103854,
            0.393478964,
            [0.001793626442, 0.8373973773, 2.508604879, 8.357831135, 1.673001128],
        ),
        ([0.02, 0.5, 0.7, 1.1, 4.0, 0.9], 1, 1.2033333333, math.inf, [1.2033333333] * 6),
    ],
)
def test_moderated_variances_are_those_of_inmoose(
    variances, df, prior_variance, prior_df, posterior
):
    """Of ``squeezeVar`` in inmoose 0.9.1, a port of limma 3.55.1."""
    moderated = moderate_variances(variances, df)
    assert moderated.prior_variance == pytest.approx(prior_variance, rel=1e-8)
    assert moderated.prior_df == pytest.approx(prior_df, rel=1e-8)
    np.testing.assert_allclose(moderated.posterior, posterior, rtol=1e-8)


def test_moments_of_log_variances_are_met():
    rng = np.random.default_rng(0)
    s2 = sample_variances(rng, true_variances(rng, 50, 3.0), 4.0)
    found = moderate_variances(s2, 4.0)
    logs = np.log(s2)
    between = logs.var(ddof=1) - special.polygamma(1, 2.0)
    assert special.polygamma(1, found.prior_df / 2.0) == pytest.approx(between)
    center = special.digamma(2.0) - np.log(2.0)
    center -= special.digamma(found.prior_df / 2.0) - np.log(found.prior_df / 2.0)
    assert np.log(found.prior_variance) + center == pytest.approx(logs.mean())
    share = 4.0 / (4.0 + found.prior_df)
    np.testing.assert_allclose(found.posterior, share * s2 + (1 - share) * found.prior_variance)
    np.testing.assert_allclose(found.total_df, 4.0 + found.prior_df)
    np.testing.assert_array_equal(found.own_prior_df, found.prior_df)
    assert found.pooled_df == 200.0


def test_unequal_degrees_of_freedom_weight_the_moments():
    """The equation of Paule and Mandel: the weighted squares are what chance makes of them."""
    rng = np.random.default_rng(1)
    df = rng.choice([0.9, 1.0, 5.0, 19.0], size=60)
    s2 = sample_variances(rng, true_variances(rng, 60, 4.0), df)
    found = moderate_variances(s2, df)
    half = df / 2.0
    logs = np.log(s2) - special.digamma(half) + np.log(half)
    weights = special.polygamma(1, half) + special.polygamma(1, found.prior_df / 2.0)
    weights = 1.0 / weights
    mean = np.average(logs, weights=weights)
    assert weights @ (logs - mean) ** 2 == pytest.approx(59.0)


@either
def test_variances_that_vary_as_by_chance_have_an_infinite_prior(robust):
    s2 = np.array([0.9, 1.0, 1.1, 1.2])
    found = moderate_variances(s2, [2.0, 2.0, 2.0, 6.0], robust=robust)
    assert found.prior_df == math.inf
    assert found.prior_variance == pytest.approx((0.9 + 1.0 + 1.1 + 3 * 1.2) / 6.0)
    np.testing.assert_array_equal(found.posterior, found.prior_variance)
    # Nobody knows more than all together.
    np.testing.assert_array_equal(found.total_df, 12.0)


@either
def test_models_without_a_variance_have_the_prior(robust):
    rng = np.random.default_rng(2)
    s2 = sample_variances(rng, true_variances(rng, 20, 4.0), 3.0)
    alone = moderate_variances(s2, 3.0, robust=robust)
    with_others = moderate_variances(
        [*s2, math.nan, 5.0, math.inf], [3.0] * 20 + [3.0, 0.0, 3.0], robust=robust
    )
    assert_same(with_others, alone)
    np.testing.assert_allclose(with_others.posterior[:20], alone.posterior)
    np.testing.assert_allclose(with_others.posterior[20:22], alone.prior_variance)
    assert with_others.posterior[22] == math.inf
    np.testing.assert_allclose(with_others.total_df[20:22], alone.prior_df)


@either
@pytest.mark.parametrize(
    ("s2", "df"),
    [
        ([], 1.0),
        ([2.0], 3.0),
        ([2.0, math.nan], 3.0),
        ([2.0, 4.0], [3.0, 0.0]),
        ([0.0, 0.0, 0.0], 3.0),
        ([math.nan, math.inf], 1.0),
    ],
)
def test_without_two_variances_there_is_no_prior(robust, s2, df):
    found = moderate_variances(s2, df, robust=robust, keep_order=True)
    assert math.isnan(found.prior_variance)
    assert found.prior_df == 0.0
    dfs = np.where(np.isnan(s2), 0.0, np.broadcast_to(df, len(s2)))
    np.testing.assert_array_equal(found.posterior, np.where(dfs > 0.0, s2, np.nan))
    np.testing.assert_array_equal(found.total_df, np.minimum(dfs, found.pooled_df))


@either
def test_a_few_zero_variances_do_not_break_the_fit(robust):
    rng = np.random.default_rng(3)
    s2 = sample_variances(rng, np.ones(100), 4.0)
    s2[:5] = 0.0
    found = moderate_variances(s2, 4.0, robust=robust)
    assert (found.posterior > 0.0).all()
    # The moments suffer, which is limma's way; the likelihood hardly does.
    assert found.prior_df > (5.0 if robust else 0.5)
    # Scale and order are kept where most are 0, too.
    s2[5:80] = 0.0
    found = moderate_variances(s2, 4.0, robust=robust)
    other = moderate_variances(1e-6 * s2, 4.0, robust=robust)
    np.testing.assert_allclose(other.posterior, 1e-6 * found.posterior, rtol=1e-4)
    assert (np.diff(found.posterior[np.argsort(s2)]) >= 0.0).all()


def test_the_prior_is_found():
    """Medians over repeats of what moments, likelihood and censored likelihood say of d0."""
    rng = np.random.default_rng(4)
    found = {name: [] for name in ("moments", "likelihood", "censored")}
    for _ in range(25):
        s2 = sample_variances(rng, true_variances(rng, 400, 4.0), 3.0)
        for name, options in (
            ("moments", {}),
            ("likelihood", {"robust": True, "outlier_share": 0.0}),
            ("censored", {"robust": True}),
        ):
            fit = moderate_variances(s2, 3.0, **options)
            found[name].append([fit.prior_variance, fit.prior_df])
    for name, fits in found.items():
        variance, df = np.median(fits, axis=0)
        assert 0.95 < variance < 1.05, name
        assert 3.4 < df < 4.7, name


def test_with_one_degree_of_freedom_the_likelihood_errs_less_than_moments():
    rng = np.random.default_rng(5)
    fits = []
    for _ in range(40):
        s2 = sample_variances(rng, true_variances(rng, 200, 20.0), 1.0)
        fits.append([moderate_variances(s2, 1.0, robust=x).prior_df for x in (False, True)])
    errors = special.polygamma(1, np.minimum(fits, 1e9) / 2.0) - special.polygamma(1, 10.0)
    moments, likelihood = np.square(errors).mean(axis=0)
    assert likelihood < 0.5 * moments  # 0.16 over many repeats


@pytest.mark.parametrize("df", [2.0, 4.0])
@pytest.mark.parametrize("prior_df", [4.0, 20.0])
def test_hypervariable_models_leave_the_prior_of_the_rest(df, prior_df):
    """5 % of the models have a hundredfold variance."""
    rng = np.random.default_rng(6)
    n_models, n_wild = 400, 20
    fits = {"clean": [], "robust": [], "plain": []}
    for _ in range(12):
        s2 = sample_variances(rng, true_variances(rng, n_models, prior_df), df)
        clean = moderate_variances(s2[n_wild:], df, robust=True)
        s2[:n_wild] *= 100.0
        robust = moderate_variances(s2, df, robust=True)
        plain = moderate_variances(s2, df)
        for name, fit in (("clean", clean), ("robust", robust), ("plain", plain)):
            between = special.polygamma(1, min(fit.prior_df, 1e9) / 2.0)
            fits[name].append([fit.prior_variance, between])
        # The wild ones are hardly drawn to the prior.
        largest = np.argsort(s2)[-5:]
        assert (robust.own_prior_df[largest] < 0.5 * robust.prior_df).all()
        regular = np.flatnonzero(s2 < np.median(s2))
        np.testing.assert_array_equal(robust.own_prior_df[regular], robust.prior_df)
        assert (np.diff(robust.own_prior_df[np.argsort(s2)]) <= 0.0).all()
    clean, robust, plain = (np.median(fits[name], axis=0) for name in fits)
    assert abs(np.log(robust[0] / clean[0])) < 0.1
    # The variance of log sigma2 among models is 0.1 or 0.6.
    assert robust[1] - clean[1] < min(0.55, 0.6 * (plain[1] - clean[1]))
    assert plain[1] - clean[1] > 0.7


def test_robust_moderation_of_clean_variances_is_close_to_the_plain_one():
    rng = np.random.default_rng(7)
    distances = []
    for _ in range(10):
        s2 = sample_variances(rng, true_variances(rng, 500, 5.0), 4.0)
        plain, robust = (moderate_variances(s2, 4.0, robust=robust) for robust in (False, True))
        distances.append(np.abs(np.log(robust.posterior / plain.posterior)))
    assert np.median(distances) < 0.02
    assert np.quantile(distances, 0.99) < 0.2


def test_an_outlier_beside_an_infinite_prior_keeps_its_variance():
    rng = np.random.default_rng(8)
    s2 = sample_variances(rng, np.ones(60), 6.0)
    s2[7] = 400.0
    found = moderate_variances(s2, 6.0, robust=True)
    assert found.posterior[7] > 300.0
    assert found.posterior[np.arange(60) != 7].max() < 2.0
    assert moderate_variances(s2, 6.0).posterior[7] < 300.0


@examples
@given(variances_and_df(), st.booleans(), st.integers(0, 1000))
def test_models_can_change_places(case, robust, seed):
    s2, df = case
    order = np.random.default_rng(seed).permutation(len(s2))
    found = moderate_variances(s2, df, robust=robust)
    other = moderate_variances(s2[order], df[order], robust=robust)
    assert_same(other, found)
    np.testing.assert_allclose(other.posterior, found.posterior[order], rtol=1e-4)
    np.testing.assert_allclose(other.total_df, found.total_df[order], rtol=1e-4)


@examples
@given(variances_and_df(), st.booleans(), st.floats(1e-9, 1e9))
def test_variances_can_be_scaled(case, robust, factor):
    s2, df = case
    found = moderate_variances(s2, df, robust=robust)
    other = moderate_variances(factor * s2, df, robust=robust)
    assert_same(other, found, factor)
    np.testing.assert_allclose(other.posterior, factor * found.posterior, rtol=1e-4)


@examples
@given(variances_and_df(), st.booleans())
def test_posterior_variances_lie_between_the_variance_and_the_prior(case, robust):
    s2, df = case
    found = moderate_variances(s2, df, robust=robust)
    low, high = np.minimum(s2, found.prior_variance), np.maximum(s2, found.prior_variance)
    assert (found.posterior >= low * (1 - 1e-9)).all()
    assert (found.posterior <= high * (1 + 1e-9)).all()
    assert (found.total_df >= df - 1e-9).all()
    assert (found.total_df <= df.sum() + 1e-9).all()


def test_a_known_prior_is_taken_as_it_is():
    found = moderate_variances([1.0, math.nan], [2, 0], prior_variance=3.0, prior_df=6.0)
    np.testing.assert_allclose(found.posterior, [(6 * 3.0 + 2 * 1.0) / 8, 3.0])
    np.testing.assert_allclose(found.total_df, [8.0, 6.0])
    found = moderate_variances([1.0, 9.0], 2, prior_variance=3.0, prior_df=math.inf, robust=True)
    np.testing.assert_array_equal(found.posterior, 3.0)
    np.testing.assert_array_equal(found.total_df, math.inf)
    # Handing on what a fit found.
    s2 = sample_variances(np.random.default_rng(9), np.ones(50), 4.0)
    fit = moderate_variances(s2, 4.0)
    later = moderate_variances(
        s2[:2],
        4.0,
        prior_variance=fit.prior_variance,
        prior_df=min(fit.prior_df, fit.pooled_df),
    )
    np.testing.assert_allclose(later.posterior, fit.posterior[:2], rtol=0.05)


@either
@pytest.mark.parametrize("df", [1.0, 4.0])
def test_order_is_kept_where_the_prior_would_erase_it(robust, df):
    rng = np.random.default_rng(10)
    s2 = rng.permutation(np.linspace(0.9, 1.1, 30))
    assert np.ptp(moderate_variances(s2, df, robust=robust).posterior) == 0.0
    kept = moderate_variances(s2, df, robust=robust, keep_order=True)
    np.testing.assert_array_equal(np.argsort(kept.posterior), np.argsort(s2))
    error = special.polygamma(1, kept.prior_df / 2.0)
    assert error == pytest.approx(math.sqrt(8.0 / (30 * df * (df + 2.0))))
    # Of the given prior too, and only if it is infinite.
    given = moderate_variances(
        s2, df, keep_order=True, prior_variance=1.0, prior_df=math.inf, robust=robust
    )
    np.testing.assert_array_equal(np.argsort(given.posterior), np.argsort(s2))
    finite = moderate_variances(s2, df, keep_order=True, prior_variance=1.0, prior_df=1e6)
    assert finite.prior_df == 1e6


def test_the_floor_of_the_prior_is_the_standard_error_of_its_best_estimate():
    """That of the likelihood, for models that do not differ (half of the estimates are 0)."""
    rng = np.random.default_rng(11)
    estimates = []
    for _ in range(150):
        s2 = sample_variances(rng, np.ones(100), 3.0)
        fit = moderate_variances(s2, 3.0, robust=True, outlier_share=0.0)
        estimates.append(special.polygamma(1, min(fit.prior_df, 1e9) / 2.0))
    error = math.sqrt(2.0 * np.square(estimates).mean())
    assert error == pytest.approx(math.sqrt(8.0 / (100 * 3 * 5)), rel=0.25)


def test_variances_that_differ_are_moderated_alike_with_and_without_keeping_order():
    rng = np.random.default_rng(12)
    s2 = sample_variances(rng, true_variances(rng, 200, 4.0), 3.0)
    plain, kept = (moderate_variances(s2, 3.0, keep_order=keep) for keep in (False, True))
    np.testing.assert_array_equal(kept.posterior, plain.posterior)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"one dimension, but had the shape \(1, 2\)"):
        moderate_variances([[1.0, 2.0]], 1)
    with pytest.raises(ValueError, match=r"shape of the variances, \(2,\), but had \(3,\)"):
        moderate_variances([1.0, 2.0], [1, 1, 1])
    with pytest.raises(ValueError, match=r"must not be negative, but one was -2\.0"):
        moderate_variances([1.0, -2.0], 1)
    for df in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="df must be finite and not negative"):
            moderate_variances([1.0, 2.0], df)
    with pytest.raises(ValueError, match="outlier_share"):
        moderate_variances([1.0, 2.0], 1, robust=True, outlier_share=0.6)
    with pytest.raises(ValueError, match="given together"):
        moderate_variances([1.0, 2.0], 1, prior_df=3.0)
    with pytest.raises(ValueError, match="prior_variance must lie in"):
        moderate_variances([1.0, 2.0], 1, prior_df=3.0, prior_variance=0.0)
    with pytest.raises(ValueError, match="prior_df must lie in"):
        moderate_variances([1.0, 2.0], 1, prior_df=-3.0, prior_variance=1.0)
