"""The decisions that the method's authors' rules take on measured accuracies, step by step."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from optuna_robust.elimination import get_rule


N_CASES = 24
FOLDER = os.environ.get("OPTUNA_ROBUST_REFERENCE_DATA", "")

pytestmark = [
    pytest.mark.skipif(
        not FOLDER,
        reason="set OPTUNA_ROBUST_REFERENCE_DATA to the folder of cct64_reference_steps.json",
    ),
    pytest.mark.filterwarnings("error"),
    # Two instances are too few for the rank tests of some cases.
    pytest.mark.filterwarnings("ignore:.*cannot reject at alpha:UserWarning"),
]


@pytest.fixture(scope="module")
def reference():
    return json.loads(Path(FOLDER, "cct64_reference_steps.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def accuracies(reference):
    """Accuracies by training size, columns in the order in which instances are trained."""
    table = {}
    with Path(FOLDER, "cct64_cifar10.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            ordered = [float(row[f"accuracy_{i}"]) for i in reference["instance_order"]]
            table.setdefault(int(row["train_size"]), []).append(ordered)
    return {size: np.array(rows) for size, rows in table.items()}


def rule_of(case):
    if case["test"] is None:
        return get_rule("halving", criterion=case["criterion"], n_warmup_instances=case["k"])
    return get_rule(
        case["test"],
        criterion=case["criterion"],
        alpha=case["alpha"],
        n_warmup_instances=case["start_step"] - 1,
    )


def test_reference_has_all_cases(reference, accuracies):
    assert len(reference["cases"]) == N_CASES
    assert {size: rows.shape for size, rows in accuracies.items()} == {
        size: (64, 20) for size in (10_000, 20_000, 30_000)
    }


@pytest.mark.parametrize("number", range(N_CASES))
def test_reference_steps_are_reproduced(reference, accuracies, number):
    case = reference["cases"][number]
    rule = rule_of(case)
    losses = -accuracies[case["train_size"]]
    alive = tuple(range(len(losses)))
    n_trainings = 0
    steps = []
    for step in range(1, losses.shape[1] + 1):
        n_trainings += len(alive)
        decision = rule.eliminate(losses[:, :step], alive)
        alive = decision.kept
        if rule.eliminates_at(step):
            steps.append((step, len(alive), decision.incumbent, list(alive)))
        if len(alive) == 1:
            break
    expected = [(s["step"], s["n_kept"], s["best"], s["kept"]) for s in case["steps"]]
    assert steps == expected
    assert n_trainings == case["n_trainings"]
