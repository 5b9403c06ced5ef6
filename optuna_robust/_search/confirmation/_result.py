"""What a confirmation found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
import json
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

import numpy as np

from optuna_robust._base.arrays import FloatArray
from optuna_robust._base.hdf5_files import open_hdf5
from optuna_robust._base.hdf5_files import writing_hdf5
from optuna_robust._base.wording import counted
from optuna_robust._statistics.comparison import Interval
from optuna_robust._statistics.criterion_names import shown_name
from optuna_robust._statistics.criterion_names import shown_sign


if TYPE_CHECKING:
    import pandas as pd


_FORMAT = "optuna_robust.ConfirmationResult"


@dataclass(frozen=True)
class ConfirmedModel:
    """A model on fresh instances. Values are in the user's orientation.

    Attributes:
        params: Its hyperparameters.
        index: Number of its trial, or its index in the selection.
        search_value: What the search said: the criterion, or the value of an ordinary trial.
        value: The criterion on the fresh instances; infinite where failures make it so, and for a
            spread of identical losses, which is unknown.
        interval: Bootstrap interval of the value; NaN where there is no valid one.
        optimism: How much better the search found the model than the fresh instances do, by the
            same statistic of equally many instances; positive: too optimistic. Infinite if only
            one of both is, NaN if both are.
        statistic: Name of the statistic that optimism compares: the criterion, or the mean if the
            search trained the model once.
        n_compared: Number of instances of which it compares it.
        probability_best: Probability that it is the best of those that violate constraints least
            (:func:`~optuna_robust.comparison.probability_of_best`); models that are the same
            share it. 0 for others.
        violation: By how much its fresh instances violate its constraints in all: of each the
            worst instance counts. 0 if it is feasible.
    """

    params: dict[str, Any]
    index: int
    search_value: float
    value: float
    interval: Interval
    optimism: float
    statistic: str
    n_compared: int
    probability_best: float
    violation: float = 0.0


@dataclass(frozen=True)
class ConfirmedPair:
    """Two models on the same fresh instances.

    p-values are two-sided. ``p_value`` goes with ``interval`` and is of this pair alone; Holm
    (1979) corrects the others, each of its kind, for the number of pairs.

    Attributes:
        first: Position of the one model.
        second: Position of the other.
        difference: Criterion of the first less that of the second, in the user's orientation.
        interval: Interval of the difference; NaN where there is no valid one.
        p_value: Of the difference (:func:`~optuna_robust.comparison.paired_criterion_test`): at
            most ``1 - confidence`` where the interval leaves 0 out.
        p_adjusted: The same, corrected for the number of pairs.
        p_level: Of Wilcoxon's signed ranks: do the losses lie elsewhere?
        p_spread: Of Pitman and Morgan: are they wider?
    """

    first: int
    second: int
    difference: float
    interval: Interval
    p_value: float
    p_adjusted: float
    p_level: float
    p_spread: float


@dataclass(frozen=True, repr=False, eq=False)
class ConfirmationResult:
    """What :func:`~optuna_robust.confirm` found.

    Attributes:
        best_params: Hyperparameters of the best model by the confirmed criterion, at equal
            numbers of instances where some were dropped; of those that violate constraints least,
            that is, of the feasible ones if there are any.
        best_index: Its position in ``models``. The best of several is again slightly optimistic.
        models: The models, in the order in which the search ranked them.
        pairs: Every two of those that violate constraints least; the others are behind these,
            whatever their losses.
        losses: Losses in the user's orientation, shape ``(n_models, n_instances)``; NaN where an
            instance was dropped, the worst infinity where it failed.
        instance_numbers: Numbers of the instances, shape ``(n_instances,)``.
        n_trainings: Instances that this call trained.
        n_reused: Instances that it took from the store, or from the study.
        seconds: Seconds that all trainings took, added up.
        failures: Why instances failed: by position of the model, by instance number.
        criterion: Name of the criterion of ``value``.
        confidence: Nominal coverage of the intervals.
        direction: ``"minimize"`` or ``"maximize"``.
        stopped_early: Whether the order was clear before all instances were trained.
        failure_kinds: How many instances failed of each kind (type and place of the exception),
            the most frequent first.
    """

    best_params: dict[str, Any]
    best_index: int
    models: tuple[ConfirmedModel, ...]
    pairs: tuple[ConfirmedPair, ...]
    losses: FloatArray
    instance_numbers: tuple[int, ...]
    n_trainings: int
    n_reused: int
    seconds: float
    failures: dict[int, dict[int, str]]
    criterion: str
    confidence: float
    direction: str
    stopped_early: bool
    failure_kinds: dict[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Say what was found in a few lines."""
        best = self.models[self.best_index]
        sign = shown_sign(self.criterion, self.direction)
        low, high = best.interval[::sign]
        infeasible = "" if best.violation == 0.0 else "none is feasible, "
        return (
            f"ConfirmationResult(best_params={self.best_params!r}, "
            f"{shown_name(self.criterion, self.direction)}={sign * best.value:.6g} "
            f"[{sign * low:.6g}, {sign * high:.6g}] of "
            f"{counted(len(self.instance_numbers), 'fresh instance')}, "
            f"optimism={best.optimism:.3g}, best of {len(self.models)} with probability "
            f"{best.probability_best:.2g}, {infeasible}"
            f"n_trainings={self.n_trainings}, n_reused={self.n_reused}, "
            f"failures={self.failure_kinds})"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row for every model.

        Raises:
            ImportError: If pandas is not installed.
        """
        import pandas as pd  # noqa: PLC0415

        names = dict.fromkeys(name for model in self.models for name in model.params)
        return pd.DataFrame(
            {
                "index": [model.index for model in self.models],
                **{f"params_{name}": [m.params.get(name) for m in self.models] for name in names},
                "search_value": [model.search_value for model in self.models],
                "value": [model.value for model in self.models],
                "low": [model.interval.low for model in self.models],
                "high": [model.interval.high for model in self.models],
                "optimism": [model.optimism for model in self.models],
                "statistic": [model.statistic for model in self.models],
                "n_compared": [model.n_compared for model in self.models],
                "probability_best": [model.probability_best for model in self.models],
                "violation": [model.violation for model in self.models],
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the result as lists, dictionaries, numbers and strings."""
        plain: dict[str, Any] = json.loads(
            json.dumps({**asdict(self), "losses": self.losses.tolist()})
        )
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ConfirmationResult:
        """Return what :meth:`to_dict` returned.

        Raises:
            ValueError: If it is something else.
        """
        try:
            return cls(
                **{
                    **plain,
                    "models": tuple(
                        ConfirmedModel(**{**model, "interval": Interval(*model["interval"])})
                        for model in plain["models"]
                    ),
                    "pairs": tuple(_pair(pair) for pair in plain["pairs"]),
                    "losses": np.array(plain["losses"], dtype=np.float64),
                    "instance_numbers": tuple(plain["instance_numbers"]),
                    "failures": {
                        int(model): {int(number): why for number, why in failed.items()}
                        for model, failed in plain["failures"].items()
                    },
                }
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"This is no confirmation: {error}.") from error

    def save(self, path: str | Path) -> None:
        """Write the result to an HDF5 file; one that is there is replaced.

        Raises:
            ImportError: If h5py is not installed.
        """
        with writing_hdf5(path, _FORMAT) as file:
            file.create_dataset("losses", data=self.losses)
            file["result"] = json.dumps(self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> ConfirmationResult:
        """Read a result that :meth:`save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ImportError: If h5py is not installed.
            ValueError: If it is no such file.
        """
        with open_hdf5(path, _FORMAT) as file:
            return cls.from_dict(json.loads(file["result"].asstr()[()]))


def _pair(plain: Mapping[str, Any]) -> ConfirmedPair:
    # A result of version 0.1.0 has the corrected p-value only.
    adjusted = {"p_adjusted": plain["p_value"], **plain}
    return ConfirmedPair(**{**adjusted, "interval": Interval(*plain["interval"])})
