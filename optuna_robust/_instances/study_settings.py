"""What the losses in a study depend on: kept in the study, so that only equals are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from typing import TYPE_CHECKING
import warnings

from optuna.trial import TrialState

from optuna_robust._instances import trials


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._instances.instance import Source


@dataclass(frozen=True)
class Settings:
    """What the losses and values in a study depend on.

    Attributes:
        seed: The integer that all instances' seeds come from.
        vary: The sources that differ between instances.
        reshuffle: Whether every trial has instances of its own.
        n_instances: Instances of every model.
        on_failure: What a failed instance counts as.
        criterion: Names of the criteria that became the trials' values.
        on_instance_pruned: What a pruned instance counts as; None: instances are not pruned;
            empty: any will do.
    """

    seed: int
    vary: tuple[Source, ...]
    reshuffle: bool
    n_instances: int
    on_failure: str
    criterion: tuple[str, ...]
    on_instance_pruned: str | None = ""


def check_settings(study: Study, settings: Settings) -> None:
    """Hold settings against those that the study was begun with.

    Raises:
        ValueError: If the study's losses could not be compared with new ones.
    """
    kept, wanted = study.user_attrs.get(trials.SETTINGS), _as_json(settings)
    if kept is None:
        return
    names = ["seed", "vary", "reshuffle", "n_instances", "on_failure"]
    if settings.on_instance_pruned != "":
        names.append("on_instance_pruned")
    for name in names:
        if kept.get(name) != wanted.get(name):
            raise ValueError(
                f"{name}={wanted.get(name)!r} differs from {name}={kept.get(name)!r}, with "
                f"which the study {study.study_name!r} was begun: its trials could not be "
                "compared with new ones. Use the old value or a new study."
            )
    if kept.get("criterion") != wanted["criterion"]:
        warnings.warn(
            f"The study {study.study_name!r} was begun with criterion "
            f"{kept.get('criterion')}; values of {wanted['criterion']} cannot be compared "
            "with its trials.",
            stacklevel=2,
        )


def keep_settings(study: Study, settings: Settings) -> None:
    """Keep the settings in the study, unless it has some."""
    if trials.SETTINGS not in study.user_attrs:
        study.set_user_attr(trials.SETTINGS, _as_json(settings))
        _warn_of_ordinary_trials(study)


def _as_json(settings: Settings) -> dict[str, Any]:
    attrs = {
        **settings.__dict__,
        "vary": list(settings.vary),
        "criterion": list(settings.criterion),
    }
    if not settings.on_instance_pruned:
        del attrs["on_instance_pruned"]
    return attrs


def _warn_of_ordinary_trials(study: Study) -> None:
    ordinary = [
        trial.number
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not trials.is_recorded(trial)
    ]
    if ordinary:
        warnings.warn(
            f"The study {study.study_name!r} has {len(ordinary)} complete trials of another "
            "objective. Their values, of one training perhaps, stand beside those of several "
            "instances, and one of them may be the best trial; use a new study.",
            stacklevel=2,
        )
