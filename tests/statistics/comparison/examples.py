"""What the tests of criteria on common instances share."""

from __future__ import annotations

from hypothesis import settings
import numpy as np
import pytest

from optuna_robust.criteria import CRITERIA


examples = settings(derandomize=True, deadline=None, max_examples=12)
every_criterion = pytest.mark.parametrize("criterion", CRITERIA)


def normal(*shape, seed=0):
    """Return standard normal numbers."""
    return np.random.default_rng(seed).normal(size=shape)


def undefined_unless(holds):
    """Return a criterion that is NaN ("not defined yet") unless the losses fulfil something."""
    return lambda losses: float(losses.mean()) if holds(losses) else np.nan
