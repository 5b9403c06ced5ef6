"""The task that benchmarks/README.md shows how to add."""

import json
from pathlib import Path
import re

import pytest

from benchmarks.__main__ import main
from benchmarks.tasks import TaskCard
from benchmarks.tasks import TASKS


README = Path(__file__).parents[3] / "benchmarks" / "README.md"


def block(name):
    (found,) = re.findall(rf"<!-- {name} -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    return found


def test_the_task_of_the_readme_can_be_searched(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    (tmp_path / "wine_of_the_readme.py").write_text(block("task"))
    monkeypatch.syspath_prepend(tmp_path)
    cards = {}
    card = block("card").replace("benchmarks.tasks.wine", "wine_of_the_readme")
    exec(card, {"TASKS": cards, "TaskCard": TaskCard})
    monkeypatch.setitem(TASKS, "wine", cards["wine"])

    options = ["--task", "wine", "--seeds", "1", "--trainings", "6", "--n-instances", "3"]
    options += ["--confirmations", "4", "--jobs", "1", "--out", str(tmp_path / "results")]
    assert main(["nas-vs-robust", *options]) == 0
    found = json.loads((tmp_path / "results" / "nas-vs-robust.json").read_text())
    assert [row["name"] for row in found["rows"]] == ["one tree"]
    losses = [arm["fresh_losses"]["40"] for arm in found["arms"]]
    assert all(0.0 <= loss <= 100.0 for each in losses for loss in each)


def test_the_task_is_as_short_as_promised():
    assert len([line for line in block("task").splitlines() if line.strip()]) <= 30
