"""Finished searches in one SQLite file: Optuna studies, with their outcomes as attributes."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import asdict
import hashlib
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.storages import RDBStorage

from benchmarks.nas_vs_robust.arms import ArmName
from benchmarks.nas_vs_robust.arms import Outcome


# Written last: a study without it was not copied to its end.
_RECORD = "nas-vs-robust"


class OtherSettingsError(ValueError):
    """The file holds searches that were not run with these settings."""


class Archive:
    """The finished searches of one benchmark.

    Args:
        path:
            SQLite file; it is created if it is not there.
        settings:
            All that outcomes depend on; kept with every search, so that only searches of the same
            settings are ever put together.

    Raises:
        OtherSettingsError: If the file holds a search with other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._storage = RDBStorage(f"sqlite:///{path.resolve().as_posix()}")
        self._settings = dict(settings)
        self._outcomes: dict[tuple[ArmName, int], Outcome] = {}
        for summary in optuna.get_all_study_summaries(self._storage, include_best_trial=False):
            record = summary.user_attrs.get(_RECORD)
            if record is None:
                continue
            self._check(path, record["settings"])
            outcome = _outcome_from_json(record["outcome"])
            self._outcomes[outcome.arm, outcome.seed] = outcome

    def __contains__(self, search: tuple[ArmName, int]) -> bool:
        return search in self._outcomes

    def __getitem__(self, search: tuple[ArmName, int]) -> Outcome:
        return self._outcomes[search]

    def add(self, outcome: Outcome, study_name: str, storage: InMemoryStorage) -> None:
        """Copy a finished search into the file, in place of what an interrupted copy left."""
        if study_name in optuna.get_all_study_names(self._storage):
            optuna.delete_study(study_name=study_name, storage=self._storage)
        optuna.copy_study(
            from_study_name=study_name, from_storage=storage, to_storage=self._storage
        )
        study = optuna.load_study(study_name=study_name, storage=self._storage)
        study.set_user_attr(_RECORD, {"settings": self._settings, "outcome": asdict(outcome)})
        self._outcomes[outcome.arm, outcome.seed] = outcome

    def close(self) -> None:
        """Let go of the file."""
        self._storage.engine.dispose()

    def _check(self, path: Path, kept: Mapping[str, Any]) -> None:
        differing = [
            f"{name} {kept.get(name)} (now {self._settings.get(name)})"
            for name in sorted(kept.keys() | self._settings.keys())
            if kept.get(name) != self._settings.get(name)
        ]
        if differing:
            raise OtherSettingsError(
                f"{path} holds searches with other settings: {', '.join(differing)}. "
                "Choose another --out, or delete that file."
            )


def digest(sources: Iterable[Path]) -> str:
    """Return a short fingerprint of source files."""
    found = hashlib.sha256()
    for source in sorted(sources):
        found.update(source.read_bytes())
    return found.hexdigest()[:12]


def _outcome_from_json(fields: Mapping[str, Any]) -> Outcome:
    return Outcome(
        **{
            **fields,
            "search_losses": tuple(fields["search_losses"]),
            "fresh_losses": tuple(fields["fresh_losses"]),
        }
    )
