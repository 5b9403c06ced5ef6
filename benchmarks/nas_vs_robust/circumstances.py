"""What results depend on, so that those of different circumstances are never put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from benchmarks import fingerprints
from benchmarks.nas_vs_robust.plan import Plan
from benchmarks.tasks import Setting
from benchmarks.tasks import TaskCard


# What a loss depends on, beside the task, and what a search does, beside the losses.
_TRAINING_CODE = (
    "benchmarks.nas_vs_robust.work",
    "optuna_robust._instances.evaluation",
    "optuna_robust._instances.instance",
    "optuna_robust.training",
)
_SEARCH_CODE = (
    "benchmarks.nas_vs_robust.arms",
    "benchmarks.nas_vs_robust.measure",
    "benchmarks.nas_vs_robust.plan",
    "optuna_robust",
)


def circumstances(
    task_name: str,
    card: TaskCard,
    setting: Setting,
    plan: Plan,
    versions: Mapping[str, str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what losses depend on, and what searches depend on.

    Args:
        task_name:
            Name of the task.
        card:
            The task.
        setting:
            What it is loaded with.
        plan:
            What searches are given.
        versions:
            Of packages.

    Raises:
        OSError: If the events cannot be read.
    """
    losses_depend_on = {
        "task": task_name,
        **versions,
        "preset": setting.preset,
        "schedule": setting.schedule,
        "data": fingerprints.of_files(setting.files) if setting.files else "",
        "code of trainings": fingerprints.of_code(
            *_TRAINING_CODE, card.loader.split(":")[0], *card.code
        ),
    }
    searches_depend_on = {
        **losses_depend_on,
        **asdict(plan),
        "sample_sizes": list(plan.sample_sizes),
        "code of searches": fingerprints.of_code(*_SEARCH_CODE),
    }
    return losses_depend_on, searches_depend_on
