"""Attributes longer than databases keep."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import optuna
import pytest

import optuna_robust as opr
from optuna_robust._instances.long_attributes import all_in_parts
from optuna_robust._instances.long_attributes import in_parts
from optuna_robust._instances.long_attributes import set_study_attr
from optuna_robust._instances.long_attributes import whole


# What MySQL and MariaDB keep of an attribute, in bytes.
MOST_BYTES = 65_535

texts = st.text(st.sampled_from('a"\\é\n🙂'), min_size=1, max_size=30)


@given(texts, st.integers(0, 20_000), st.booleans())
def test_every_part_fits_and_together_they_are_the_value(
    text: str, times: int, as_list: bool
) -> None:
    value: Any = [text] * times if as_list else {str(n): text for n in range(times // 4)}
    parts = in_parts("robust:x", value)
    assert list(parts)[-1] == "robust:x"
    assert all(len(json.dumps(part).encode()) <= MOST_BYTES for part in parts.values())
    assert whole(parts, "robust:x") == value


def test_a_reader_between_two_writes_sees_the_earlier_value() -> None:
    attrs: dict[str, Any] = {}
    earlier = None
    for n in (10, 20_000, 30_000, 40_000, 10, 20_000):
        value = [0.25] * n
        for name, part in in_parts("robust:x", value, attrs.get("robust:x")).items():
            assert whole(attrs, "robust:x") == earlier
            attrs[name] = part
        assert whole(attrs, "robust:x") == value
        earlier = value


def test_short_values_and_those_of_users_stay_as_they_are() -> None:
    attrs = {"robust:losses": [0.5, None], "history": [0.5] * 20_000, "robust:n": 3}
    assert all_in_parts(attrs) == attrs
    assert whole(attrs, "robust:losses") == [0.5, None]
    assert whole(attrs, "missing", {}) == {}


def test_attributes_of_a_study() -> None:
    study = optuna.create_study()
    for n in (20_000, 25_000):
        set_study_attr(study, "robust:x", list(range(n)))
        assert whole(study.user_attrs, "robust:x") == list(range(n))


def test_a_trial_of_many_instances_is_read_as_any_other(tmp_path: Any) -> None:
    n_instances = 20

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        trial.suggest_float("x", 0, 1)
        trial.set_user_attr("history", [instance.number] * 1_200)
        return float(instance.rng.normal())

    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}")
    study.optimize(opr.MultiInstanceObjective(objective, n_instances), n_trials=1)
    (trial,) = study.trials
    kept = whole(trial.user_attrs, "robust:instance_attrs")
    assert trial.user_attrs["robust:instance_attrs"].keys() == {"robust:parts"}
    assert kept == {str(n): {"history": [n] * 1_200} for n in range(n_instances)}
    result = opr.confirm(study, objective, n_models=1, n_instances=3)
    assert result.losses.shape == (1, 3)
    assert trial.value == pytest.approx(trial.user_attrs["robust:criterion"])
