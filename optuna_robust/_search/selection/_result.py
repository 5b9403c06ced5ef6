"""What a selection found, step by step."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
import json
import math
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

import numpy as np

from optuna_robust._base.arrays import FloatArray
from optuna_robust._base.hdf5_files import open_hdf5
from optuna_robust._base.hdf5_files import writing_hdf5
from optuna_robust._base.wording import counted
from optuna_robust._statistics.criterion_names import shown_name
from optuna_robust._statistics.criterion_names import shown_sign


if TYPE_CHECKING:
    import pandas as pd


_FORMAT = "optuna_robust.SelectionResult"


@dataclass(frozen=True)
class Step:
    """One wave of a selection.

    Attributes:
        step: Number of the wave, from 1. Unless the rule is the race, all models that are kept
            have so many instances.
        kept: Indices of the models that are kept, ascending.
        removed: The models that are not, each with the reason.
        incumbent: Index of the best model of those alive before the elimination.
        incumbent_value: Its criterion, in the orientation of the losses; NaN if undefined.
        n_trained: Instances of this wave, trained or taken from the store.
        seconds: Seconds that their trainings took, added up.
        probability: Probability that the incumbent is within the tolerance of the best, by the
            race; NaN for rules that do not tell.
    """

    step: int
    kept: tuple[int, ...]
    removed: dict[int, str]
    incumbent: int
    incumbent_value: float
    n_trained: int
    seconds: float
    probability: float = math.nan


@dataclass(frozen=True, repr=False, eq=False)
class SelectionResult:
    """What :func:`~optuna_robust.robust_select` found.

    Losses and values are in the user's orientation.

    Attributes:
        best_params: Hyperparameters of the best survivor.
        best_index: Its index into ``models``.
        models: Hyperparameters of every model.
        losses: Losses, shape ``(n_models, n_instances)``, columns are instance numbers; NaN where
            an instance was not trained or dropped, the worst infinity where it failed.
        values: Criterion of every model over the instances that it has, shape ``(n_models,)``.
            Those of models that were removed are of fewer instances, and not to be compared.
        survivors: Indices of the models that are left, ascending.
        steps: One a wave.
        n_trainings: Instances that this call trained.
        n_reused: Instances that it took from the store; the sum is what an undisturbed call on an
            empty store trains.
        seconds: Seconds that all trainings took, added up, those of the store included.
        failures: Why instances failed: by model, by instance number.
        failure_kinds: How many instances failed of each kind (type and place of the exception),
            the most frequent first.
        criterion: Name of the criterion.
        rule: Name of the elimination rule.
        tolerance: How much worse than the best a model may be, by the race.
        direction: ``"minimize"`` or ``"maximize"``.
        violations: By how much every model violates its constraints in all, as far as its
            instances show; 0 if it is feasible.
        settings: What the instances' seeds were made from: ``seed``, ``vary``, ``reshuffle``,
            and ``n_instances`` and ``on_failure``; and what objectives saw of the study, if
            it had user attributes.
    """

    best_params: dict[str, Any]
    best_index: int
    models: tuple[dict[str, Any], ...]
    losses: FloatArray
    values: FloatArray
    survivors: tuple[int, ...]
    steps: tuple[Step, ...]
    n_trainings: int
    n_reused: int
    seconds: float
    failures: dict[int, dict[int, str]]
    criterion: str
    rule: str
    direction: str
    settings: dict[str, Any]
    violations: tuple[float, ...]
    tolerance: float = 0.0
    failure_kinds: dict[str, int] = field(default_factory=dict)

    @property
    def best_value(self) -> float:
        """Criterion of the best survivor, over the instances that it has."""
        return float(self.values[self.best_index])

    @property
    def best_n_instances(self) -> int:
        """Number of losses of the best survivor."""
        return int(np.count_nonzero(~np.isnan(self.losses[self.best_index])))

    @property
    def is_feasible(self) -> bool:
        """Whether the best survivor violates no constraint; no model is feasible if it does."""
        return self.violations[self.best_index] == 0.0

    @property
    def removals(self) -> dict[int, tuple[int, str]]:
        """When and why models were removed, as pairs of the step and the reason.

        A model that was dropped for one that turned out to be infeasible may have come back.
        """
        return {
            model: (step.step, why)
            for step in self.steps
            for model, why in step.removed.items()
            if model not in self.survivors
        }

    @property
    def probability(self) -> float:
        """Probability that the best survivor is within the tolerance of the best of all models.

        That is, of the model that would be the best if all had ``n_instances``. NaN for rules
        other than the race, before it knows of the noise, and if survivors were trained on and
        another one proved to be the best.
        """
        told = [step for step in self.steps if not math.isnan(step.probability)]
        known = bool(told) and told[-1].incumbent == self.best_index
        return told[-1].probability if known else math.nan

    def __repr__(self) -> str:
        """Say what was found in a few lines."""
        value = shown_sign(self.criterion, self.direction) * self.best_value
        survivors = f"{len(self.survivors)} of {counted(len(self.models), 'model')}"
        return (
            f"SelectionResult(best_params={self.best_params!r}, best_index={self.best_index}, "
            f"{shown_name(self.criterion, self.direction)}={value:.6g} of "
            f"{counted(self.best_n_instances, 'instance')}, {survivors} survive, "
            f"{'' if self.is_feasible else 'none is feasible, '}"
            f"rule={self.rule!r}, n_trainings={self.n_trainings}, n_reused={self.n_reused}, "
            f"failures={self.failure_kinds})"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row for every model.

        Columns are the hyperparameters (``params_…``), ``value``, ``violation`` (if a model is
        infeasible), ``n_instances``, ``survives``, ``removed_at`` (the step, missing for
        survivors), ``reason``, and a column for each instance (``loss_0``, …).

        Raises:
            ImportError: If pandas is not installed.
        """
        import pandas as pd  # noqa: PLC0415

        removals = self.removals
        rows = range(len(self.models))
        names = dict.fromkeys(name for params in self.models for name in params)
        return pd.DataFrame(
            {
                **{f"params_{name}": [p.get(name) for p in self.models] for name in names},
                "value": self.values,
                **({"violation": self.violations} if any(self.violations) else {}),
                "n_instances": np.count_nonzero(~np.isnan(self.losses), axis=1),
                "survives": [row in self.survivors for row in rows],
                "removed_at": pd.array(
                    [removals[row][0] if row in removals else None for row in rows], dtype="Int64"
                ),
                "reason": [removals[row][1] if row in removals else None for row in rows],
                **{f"loss_{i}": self.losses[:, i] for i in range(self.losses.shape[1])},
            }
        )

    def save(self, path: str | Path) -> None:
        """Write the result to an HDF5 file; one that is there is replaced.

        Raises:
            ImportError: If h5py is not installed.
        """
        rest = {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("losses", "values", "steps")
        }
        with writing_hdf5(path, _FORMAT) as file:
            file.create_dataset("losses", data=self.losses, compression="gzip")
            file.create_dataset("values", data=self.values)
            file["rest"] = json.dumps(rest, default=np.generic.item)
            file["steps"] = json.dumps([asdict(step) for step in self.steps])

    @classmethod
    def load(cls, path: str | Path) -> SelectionResult:
        """Read a result that :meth:`save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ImportError: If h5py is not installed.
            ValueError: If it is no such file.
        """
        with open_hdf5(path, _FORMAT) as file:
            losses, values = file["losses"][:], file["values"][:]
            rest = json.loads(file["rest"].asstr()[()])
            steps = json.loads(file["steps"].asstr()[()])
        return cls(
            **{
                **rest,
                "models": tuple(rest["models"]),
                "survivors": tuple(rest["survivors"]),
                # Version 0.1.0 did not keep them.
                "violations": tuple(rest.get("violations", (0.0,) * len(rest["models"]))),
                "failures": {
                    int(model): {int(number): why for number, why in failed.items()}
                    for model, failed in rest["failures"].items()
                },
                "losses": losses,
                "values": values,
                "steps": tuple(
                    Step(
                        **{
                            **step,
                            "kept": tuple(step["kept"]),
                            "removed": {int(i): why for i, why in step["removed"].items()},
                        }
                    )
                    for step in steps
                ),
            }
        )
