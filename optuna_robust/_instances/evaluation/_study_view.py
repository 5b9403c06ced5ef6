"""A study and a storage as an objective sees them outside the study's own trials: to read."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import json
from types import MappingProxyType
from typing import Any

from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.study import StudyDirection

from optuna_robust._instances.long_attributes import PREFIX


# Optuna's key of an artifact is this and the artifact's id.
ARTIFACTS = "artifacts:"

_SNAPSHOT = frozenset({"study_name", "direction", "directions", "user_attrs"})
# Readable as long as the study itself is in this process.
_AT_HAND = frozenset(
    {
        "best_params",
        "best_trial",
        "best_trials",
        "best_value",
        "best_values",
        "get_trials",
        "metric_names",
        "pruner",
        "sampler",
        "trials",
    }
)
_INNER = frozenset(
    {
        "_attrs",
        "_directions",
        "_is_multi_objective",
        "_origin",
        "_storage",
        "_study_id",
        "links_artifacts",
        "sent",
    }
)
_MINIMIZE = (StudyDirection.MINIMIZE,)


class NotAvailableError(OptunaError):
    """The objective asks its trial for what is not available where it runs."""


class StudyView(Study):
    """What an objective sees of a study in workers, selections and confirmations.

    The name, the directions and the user attributes can be read; trials too, as long as the study
    is in this process. Anything else raises :class:`NotAvailableError`.

    Args:
        study_name:
            Name of the study.
        directions:
            Its directions.
        user_attrs:
            Its user attributes.
        origin:
            The study itself, if it is in this process: then its user attributes are those of
            now. A view that is sent to another process has those of when it was sent.
        links_artifacts:
            Whether there is a trial or study that artifacts can be linked to.
    """

    def __init__(
        self,
        study_name: str = "no study",
        directions: Sequence[StudyDirection] = _MINIMIZE,
        user_attrs: Mapping[str, Any] = MappingProxyType({}),
        *,
        origin: Study | None = None,
        links_artifacts: bool = False,
    ) -> None:
        # Not Study.__init__, which would read a storage.
        self.study_name = study_name
        self._directions = list(directions)
        self._attrs = dict(user_attrs)
        self._origin = origin
        self.links_artifacts = links_artifacts
        self._study_id = -1
        self._storage = InstanceStorage(links_artifacts)  # type: ignore[assignment]

    @classmethod
    def of(cls, study: Study, *, links_artifacts: bool = True) -> StudyView:
        """Return a view of a study of this process."""
        return cls(
            study.study_name, study.directions, origin=study, links_artifacts=links_artifacts
        )

    def sent(self) -> StudyView:
        """Return a view for another process, with the user attributes of now."""
        if self._origin is None:
            return self
        return StudyView(
            self.study_name,
            self.directions,
            self.user_attrs,
            links_artifacts=self.links_artifacts,
        )

    def __getattribute__(self, name: str) -> Any:
        """Refuse what the view does not have; a method of a study would work on nothing."""
        if name in _SNAPSHOT or name in _INNER or name.startswith("__"):
            return super().__getattribute__(name)
        origin = super().__getattribute__("_origin")
        if name in _AT_HAND and origin is not None:
            return getattr(origin, name)
        if name.startswith("_") or (not hasattr(Study, name) and name not in _AT_HAND):
            return super().__getattribute__(name)
        raise NotAvailableError(
            f"trial.study.{name} is not available to an objective in a worker process, a "
            "selection or a confirmation: its study has the name, the directions and the user "
            "attributes, to read only. Use n_jobs=1 in study.optimize, or do without it."
        )

    def __reduce__(self) -> Any:
        """Pickle and copy without the study itself."""
        sent = self.sent()
        fields = (sent.study_name, sent._directions, sent._attrs)
        return _view, (*fields, sent.links_artifacts)

    @property
    def directions(self) -> list[StudyDirection]:
        """Directions of the study."""
        return list(self._directions)

    @property
    def direction(self) -> StudyDirection:
        """Direction of the study, if it has one objective."""
        if self._is_multi_objective():
            raise RuntimeError(
                "A study with several objectives has no single direction; use directions."
            )
        return self.directions[0]

    @property
    def user_attrs(self) -> dict[str, Any]:
        """User attributes of the study, without those of this package."""
        attrs = self._attrs if self._origin is None else self._origin.user_attrs
        return {name: attrs[name] for name in attrs if not name.startswith(PREFIX)}

    def _is_multi_objective(self) -> bool:
        return len(self._directions) > 1


def link_artifacts(view: StudyView, system_attrs: Mapping[str, Any]) -> None:
    """Link an instance's artifacts to the study itself, where its trial is finished."""
    study = view._origin
    if study is None:
        return
    for key, value in system_attrs.items():
        if key.startswith(ARTIFACTS):
            study._storage.set_study_system_attr(study._study_id, key, value)


def _view(
    study_name: str,
    directions: Sequence[StudyDirection],
    user_attrs: Mapping[str, Any],
    links_artifacts: bool,
) -> StudyView:
    return StudyView(study_name, directions, user_attrs, links_artifacts=links_artifacts)


class InstanceStorage:
    """What integrations write to a trial's storage, for one instance: system attributes.

    Args:
        links_artifacts:
            Whether there is a trial or study that artifacts can be linked to.
    """

    def __init__(self, links_artifacts: bool = False) -> None:
        self._links_artifacts = links_artifacts
        self.system_attrs: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        """Refuse whatever else a storage does."""
        if not hasattr(BaseStorage, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise NotAvailableError(
            f"trial.storage.{name} is not available to an objective in a worker process, a "
            "selection or a confirmation: only a trial's system attributes can be written there."
        )

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Return the system attributes that were set for this instance."""
        return dict(self.system_attrs)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep a system attribute of this instance.

        Raises:
            NotAvailableError: If it links an artifact, but there is nothing to link it to.
            TypeError: If the value cannot be written as JSON.
        """
        if key.startswith(ARTIFACTS) and not self._links_artifacts:
            raise NotAvailableError(
                "An artifact is linked to a trial or a study, but there is none: give "
                "robust_select a study (study=), and confirm the study rather than the "
                "selection's result."
            )
        json.dumps(value)
        self.system_attrs[key] = value
