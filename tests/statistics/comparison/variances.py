"""Variances of simulated models."""

from __future__ import annotations

import math

import numpy as np


def true_variances(rng, n_models, prior_df):
    """True variances of models, scaled inverse chi-squared about 1."""
    if math.isinf(prior_df):
        return np.ones(n_models)
    return prior_df / rng.chisquare(prior_df, size=n_models)


def sample_variances(rng, true, df):
    return true * rng.chisquare(df, size=len(true)) / df
