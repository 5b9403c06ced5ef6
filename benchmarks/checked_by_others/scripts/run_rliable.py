"""Interquartile means, their intervals, and probabilities of improvement by rliable."""

from __future__ import annotations

import json
import sys

import numpy as np
from rliable.library import get_interval_estimates
from rliable.metrics import aggregate_iqm
from rliable.metrics import probability_of_improvement


given = json.load(sys.stdin)
answers: dict[str, list[object]] = {"means": [], "intervals": [], "probabilities": []}
for losses in given["models"]:
    scores = np.array(losses)[:, None]
    np.random.seed(0)  # what rliable draws with
    means, intervals = get_interval_estimates(
        {"model": scores},
        lambda sample: np.array([aggregate_iqm(sample)]),
        method="bca",
        reps=given["n_resamples"],
        random_state=np.random.RandomState(0),
    )
    answers["means"].append(float(means["model"][0]))
    answers["intervals"].append(intervals["model"].ravel().tolist())
for x, y in given["pairs"]:
    columns = np.array(x)[:, None], np.array(y)[:, None]
    answers["probabilities"].append(float(probability_of_improvement(*columns)))
json.dump(answers, sys.stdout)
