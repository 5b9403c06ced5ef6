from __future__ import annotations

import subprocess
import sys

import pytest

import optuna_robust


def test_exported_names_are_there_and_listed() -> None:
    for name in optuna_robust.__all__:
        assert getattr(optuna_robust, name).__name__.removeprefix("optuna_robust.") == name
        assert name in dir(optuna_robust)


def test_the_public_names() -> None:
    assert set(optuna_robust.__all__) == {
        "ConfirmationResult",
        "Instance",
        "InstanceStore",
        "MaxInstancesCallback",
        "MultiInstanceObjective",
        "Recommendation",
        "RobustnessPruner",
        "RobustnessSampler",
        "SelectionResult",
        "comparison",
        "confirm",
        "criteria",
        "dashboard",
        "elimination",
        "expected_trainings",
        "parallel",
        "recommend",
        "report",
        "robust_select",
        "training",
        "visualization",
    }


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        optuna_robust.nothing  # noqa: B018


def test_importing_brings_in_nothing_heavy() -> None:
    """Neither the package nor its objective, pruner and sampler do what Optuna does not."""
    heavy = [
        "torch",
        "h5py",
        "optuna_dashboard",
        "plotly",
        "scipy.stats",
        "sklearn",
        "sqlalchemy",
    ]
    code = (
        "import sys, optuna\n"
        "from_optuna = set(sys.modules)\n"
        "import optuna_robust as opr\n"
        "opr.MultiInstanceObjective, opr.RobustnessPruner(), opr.Instance, dir(opr)\n"
        "opr.RobustnessSampler(), opr.recommend, opr.MaxInstancesCallback(10)\n"
        f"print(*(set({heavy!r}) & set(sys.modules) - from_optuna))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
