"""Finished work in one SQLite file: Optuna studies, with their outcomes as attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.storages import RDBStorage

from benchmarks.nas_vs_robust.plan import Outcome
from benchmarks.nas_vs_robust.plan import Row
from benchmarks.nas_vs_robust.plan import Search


# Written last: a study without it was not copied to its end.
_RECORD = "nas-vs-robust"
# Workers write instances to the same file; SQLite's own limit is 5 seconds.
_SECONDS_TO_WAIT = 120


class OtherSettingsError(ValueError):
    """The file holds work that was not done with these settings."""


class Archive:
    """The finished searches and fixed rows of one benchmark.

    Args:
        path:
            SQLite file; it is created if it is not there.
        settings:
            All that outcomes depend on; kept with every piece of work, so that only what has the
            same settings is ever put together.

    Raises:
        OtherSettingsError: If the file holds work with other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._storage = RDBStorage(
            f"sqlite:///{path.resolve().as_posix()}",
            engine_kwargs={"connect_args": {"timeout": _SECONDS_TO_WAIT}},
        )
        self._settings = dict(settings)
        self._outcomes: dict[Search, Outcome] = {}
        self._rows: dict[str, Row] = {}
        for summary in optuna.get_all_study_summaries(self._storage, include_best_trial=False):
            record = summary.user_attrs.get(_RECORD)
            if record is None:
                continue
            self._check(path, record["settings"])
            self._take(record)

    def __contains__(self, piece: Search | str) -> bool:
        return piece in self._outcomes or piece in self._rows

    def outcome(self, search: Search) -> Outcome:
        """Return what a finished search found."""
        return self._outcomes[search]

    def row(self, name: str) -> Row:
        """Return a finished row."""
        return self._rows[name]

    def add_outcome(self, outcome: Outcome, storage: InMemoryStorage) -> None:
        """Copy a finished search into the file, in place of what an interrupted copy left."""
        name = outcome.search.name
        self._delete(name)
        optuna.copy_study(from_study_name=name, from_storage=storage, to_storage=self._storage)
        self._record(name, "outcome", asdict(outcome))

    def add_row(self, row: Row) -> None:
        """Keep a finished row, as a study without trials."""
        name = f"fixed row, {row.name}"
        self._delete(name)
        optuna.create_study(storage=self._storage, study_name=name)
        self._record(name, "row", asdict(row))

    def close(self) -> None:
        """Let go of the file."""
        self._storage.engine.dispose()

    def _delete(self, name: str) -> None:
        if name in optuna.get_all_study_names(self._storage):
            optuna.delete_study(study_name=name, storage=self._storage)

    def _record(self, name: str, kind: str, fields: Mapping[str, Any]) -> None:
        study = optuna.load_study(study_name=name, storage=self._storage)
        record = {"settings": self._settings, kind: fields}
        study.set_user_attr(_RECORD, record)
        self._take(record)

    def _take(self, record: Mapping[str, Any]) -> None:
        if "row" in record:
            row = Row(**{**record["row"], **_fresh(record["row"])})
            self._rows[row.name] = row
            return
        fields = record["outcome"]
        outcome = Outcome(
            **{
                **fields,
                **_fresh(fields),
                "search": Search(**fields["search"]),
                "search_losses": tuple(fields["search_losses"]),
            }
        )
        self._outcomes[outcome.search] = outcome

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


def _fresh(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fresh losses from JSON, whose keys are strings."""
    by_size = fields["fresh_losses"]
    return {"fresh_losses": {int(size): tuple(losses) for size, losses in by_size.items()}}
