"""The decisions that the method's authors' rules take on measured accuracies, step by step."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pytest

from optuna_robust import Instance
from optuna_robust import robust_select
from optuna_robust.elimination import EliminationRule
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


Reference = dict[str, Any]
Accuracies = dict[int, npt.NDArray[np.float64]]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return json.loads(Path(FOLDER, "cct64_reference_steps.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def accuracies(reference: Reference) -> Accuracies:
    """Accuracies by training size, columns in the order in which instances are trained."""
    table: dict[int, list[list[float]]] = {}
    with Path(FOLDER, "cct64_cifar10.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            ordered = [float(row[f"accuracy_{i}"]) for i in reference["instance_order"]]
            table.setdefault(int(row["train_size"]), []).append(ordered)
    return {size: np.array(rows) for size, rows in table.items()}


def rule_of(case: Reference) -> EliminationRule:
    if case["test"] is None:
        return get_rule("halving", criterion=case["criterion"], n_warmup_instances=case["k"])
    return get_rule(
        case["test"],
        criterion=case["criterion"],
        alpha=case["alpha"],
        n_warmup_instances=case["start_step"] - 1,
    )


def expected_steps(case: Reference) -> list[tuple[int, int, int, list[int]]]:
    return [(s["step"], s["n_kept"], s["best"], s["kept"]) for s in case["steps"]]


def test_reference_has_all_cases(reference: Reference, accuracies: Accuracies) -> None:
    assert len(reference["cases"]) == N_CASES
    assert {size: rows.shape for size, rows in accuracies.items()} == {
        size: (64, 20) for size in (10_000, 20_000, 30_000)
    }


@pytest.mark.parametrize("number", range(N_CASES))
def test_reference_steps_are_reproduced_by_the_rule(
    reference: Reference, accuracies: Accuracies, number: int
) -> None:
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
    assert steps == expected_steps(case)
    assert n_trainings == case["n_trainings"]


@pytest.mark.parametrize("number", range(N_CASES))
def test_reference_steps_are_reproduced_by_robust_select(
    reference: Reference, accuracies: Accuracies, number: int
) -> None:
    case = reference["cases"][number]
    table = accuracies[case["train_size"]]

    def accuracy(trial: optuna.Trial, instance: Instance) -> float:
        model = trial.suggest_categorical("model", list(range(len(table))))
        return float(table[model, instance.number])

    warmup = case["k"] if case["test"] is None else case["start_step"] - 1
    result = robust_select(
        accuracy,
        {"model": range(len(table))},
        direction="maximize",
        criterion=case["criterion"],
        rule=case["test"] or "halving",
        n_warmup_instances=warmup,
        n_instances=table.shape[1],
        alpha=None if case["test"] is None else case["alpha"],
    )
    steps = [
        (step.step, len(step.kept), step.incumbent, list(step.kept))
        for step in result.steps
        if step.step > warmup
    ]
    assert steps == expected_steps(case)
    assert result.n_trainings == sum(step.n_trained for step in result.steps)
    assert result.n_trainings == case["n_trainings"]
    assert result.survivors == tuple(case["steps"][-1]["kept"])
