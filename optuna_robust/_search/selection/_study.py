"""The study that the objective of a selection sees, and what of it a result keeps."""

from __future__ import annotations

import json
from typing import Any

from optuna.study import Study
from optuna.study import StudyDirection

from optuna_robust._instances.evaluation import StudyView


def study_seen(models: object, study: Study | None, *, maximises: bool) -> StudyView:
    """Return what objectives see as the study: that of the call, or the one of the models."""
    direction = StudyDirection.MAXIMIZE if maximises else StudyDirection.MINIMIZE
    source = models if study is None else study
    if not isinstance(source, Study):
        return StudyView(directions=[direction])
    # Only the study of the call gets trials, which artifacts are linked to.
    return StudyView.of(source, links_artifacts=study is not None)


def kept_study(seen: StudyView) -> dict[str, Any]:
    """Return what a confirmation of the result needs of the study; empty without attributes."""
    attrs = {name: each for name, each in seen.user_attrs.items() if _is_json(each)}
    if not attrs:
        return {}
    return {"study": {"study_name": seen.study_name, "user_attrs": attrs}}


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
