"""Which pairs of models AdaStop finds different at its only interim."""

from __future__ import annotations

import json
import sys

from adastop import MultipleAgentsComparator
import numpy as np


given = json.load(sys.stdin)
answers = []
for x, y in given["pairs"]:
    comparator = MultipleAgentsComparator(n=len(x), K=1, alpha=given["alpha"], seed=0)
    comparator.partial_compare({"x": np.array(x), "y": np.array(y)}, verbose=False)
    answers.append(list(comparator.decisions.values()) != ["equal"])
json.dump(answers, sys.stdout)
