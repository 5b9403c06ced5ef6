#!/usr/bin/env bash
# adastop 0.1.3: with one interim it finds differences twice as often as alpha.
#
# MultipleAgentsComparator says alpha is the "level of the test", which is two-sided. It compares the
# absolute difference of two means with the 1 - alpha quantile of the signed differences of all
# relabellings (compute_mean_diffs has no absolute value), which is exceeded on both sides.
#
# Two agents with 5 evaluations each and no difference: all 252 ways to say whose the 10 numbers are
# have the same probability, so that at most 12 of them may be called different at alpha = 0.05.
#
# Seen: 24 of 252, 9.5 %: 12 times "larger", and 12 times "smaller".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q adastop==0.1.3
"$folder/venv/bin/python" - <<'PYTHON'
from collections import Counter
from itertools import combinations

from adastop import MultipleAgentsComparator
import numpy as np

values = np.random.default_rng(0).normal(size=10)
decisions = Counter()
for rows in combinations(range(10), 5):
    is_first = np.isin(np.arange(10), rows)
    comparator = MultipleAgentsComparator(n=5, K=1, alpha=0.05)
    comparator.partial_compare({"a": values[is_first], "b": values[~is_first]}, verbose=False)
    decisions.update(comparator.decisions.values())
print(dict(decisions))
assert decisions == {"larger": 12, "smaller": 12, "equal": 228}
PYTHON
