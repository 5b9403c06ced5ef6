"""What results depend on, so that those of different circumstances are never put together."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import asdict
import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.nas_vs_robust.plan import Plan
from benchmarks.tasks import Setting
from benchmarks.tasks import TaskCard


# What a loss depends on, beside the task, and what a search does, beside the losses.
_TRAINING_CODE = (
    "benchmarks.nas_vs_robust.work",
    "optuna_robust.evaluation",
    "optuna_robust.instance",
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
        "data": "" if setting.events is None else _digest([setting.events]),
        "code of trainings": _code(*_TRAINING_CODE, card.loader.split(":")[0], *card.code),
    }
    searches_depend_on = {
        **losses_depend_on,
        **asdict(plan),
        "sample_sizes": list(plan.sample_sizes),
        "code of searches": _code(*_SEARCH_CODE),
    }
    return losses_depend_on, searches_depend_on


def _code(*modules: str) -> str:
    """Return the fingerprint of modules and packages."""
    sources: list[Path] = []
    for name in modules:
        found = find_spec(name)
        assert found is not None
        assert found.origin is not None
        origin = Path(found.origin)
        sources += origin.parent.rglob("*.py") if origin.name == "__init__.py" else [origin]
    return _digest(sources)


def _digest(files: Iterable[Path]) -> str:
    """Return a short fingerprint of files."""
    digest = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]
