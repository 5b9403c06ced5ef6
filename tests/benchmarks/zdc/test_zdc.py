"""``python -m benchmarks zdc``, and the task of nas-vs-robust."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

import numpy as np
import optuna
import pytest

from benchmarks.__main__ import main
from benchmarks.tasks import Setting
from benchmarks.tasks import TASKS
from benchmarks.zdc import study
from benchmarks.zdc.study import Recipe
from optuna_robust import Instance


SMALL = Recipe(2, 1, 20, 1e-2, n_population=120, n_judged=20)


@pytest.fixture(autouse=True)
def small_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(study.RECIPES, "quick", SMALL)
    monkeypatch.setitem(study.SAMPLE_SIZES, "quick", (20, 100))


def test_the_page_begins_with_the_answer_and_a_second_call_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["zdc", "--instances", "2", "--jobs", "1", "--out", str(tmp_path)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "is the best by the mean distance" in printed
    assert "The default network with w = 1 goes from" in printed
    page = (tmp_path / "zdc.html").read_text(encoding="utf-8")
    places = [page.index(each) for each in ("is the best by", "All generators", "simulated 2")]
    assert places == sorted(places)
    first = json.loads((tmp_path / "zdc.json").read_text(encoding="utf-8"))
    assert len(first) == 16 and all(len(each["distances"]) == 2 for each in first)

    monkeypatch.setattr(study, "train", None)  # whoever trains calls it
    assert main(command) == 0
    assert json.loads((tmp_path / "zdc.json").read_text(encoding="utf-8")) == first


def test_the_task_judges_searches_and_winners_by_other_showers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Long enough to draw something.
    monkeypatch.setitem(study.RECIPES, "quick", replace(SMALL, width=4, n_epochs=12))
    task = TASKS["zdc"].load(seed=1, setting=Setting(preset="quick"))
    trial = optuna.trial.FixedTrial(
        {"network": "default", "width": 4, "w": 1.0, "learning_rate": 2e-2, "batch_size": 10}
    )
    model = task.suggest(trial)
    found = task.losses(model, [Instance(0), Instance(1)], part="validation", sample_size=80)
    test = task.losses(model, [Instance(0)], part="test", sample_size=80)
    assert np.isfinite(found).all() and found[0] != found[1] and found[0] != test[0]
