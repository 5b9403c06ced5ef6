"""``python -m benchmarks cifar10``, and the task of nas-vs-robust."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest

from benchmarks.__main__ import main
from benchmarks.cifar10 import variants
from benchmarks.cifar10.variants import Recipe
from benchmarks.nas_vs_robust import measure
from benchmarks.tasks import Setting
from benchmarks.tasks import TASKS
from optuna_robust import Instance
from optuna_robust import SelectionResult


pytest.importorskip("h5py")

SMALL = Recipe(width=1, n_epochs=2, batch_sizes=(10,), peak_rates=(0.01, 0.1), l2s=(1e-4, 1e-2))


@pytest.fixture(autouse=True)
def small_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(variants.RECIPES, "quick", SMALL)  # type: ignore[arg-type]


def arguments(out: Path, *rest: str) -> list[str]:
    return ["cifar10", "--instances", "2", "--jobs", "1", "--out", str(out), *rest]


def test_the_page_has_the_figures_and_a_second_call_trains_nothing(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(tmp_path, "--data", str(images), "--sample-sizes", "20")
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "simulated images of ten shapes, not CIFAR-10" in printed
    assert "| 2     | 100 %       | 1.00 " in printed
    assert (tmp_path / "cifar10.md").read_text(encoding="utf-8") in printed
    page = (tmp_path / "cifar10.html").read_text(encoding="utf-8")
    for title in ("Rank correlation with the last epoch", "Overlap of the best with those of"):
        assert title in page
    first = SelectionResult.load(tmp_path / "cifar10-20.h5")
    assert first.losses.shape == (4, 2) and first.direction == "maximize"
    assert (first.losses >= 0).all() and (first.losses <= 100).all()

    assert main(command) == 0
    again = SelectionResult.load(tmp_path / "cifar10-20.h5")
    assert (again.n_trainings, again.n_reused) == (0, 8)
    np.testing.assert_array_equal(again.losses, first.losses)


@pytest.mark.parametrize(
    ("rest", "complaint"),
    [
        (["--data", "nowhere"], "no folder nowhere"),
        (["--preset", "paper"], "--preset paper needs --data FOLDER"),
        (["--sample-sizes", "2000"], "--sample-sizes must be at most 1000"),
        (["--instances", "1"], "must be at least 2"),
    ],
)
def test_bad_input_is_refused(
    rest: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments(tmp_path, *rest))
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rest", "complaint"),
    [
        (["--task", "digits", "--data", "some"], "--data goes with cifar10, but --task was digi"),
        (["--task", "cifar10", "--events", "a.h5"], "--events goes with energy and position"),
        (["--task", "cifar10", "--preset", "paper"], "--preset paper of cifar10 needs --data"),
        (["--task", "cifar10", "--data", "nowhere"], "no folder nowhere"),
        (["--task", "cifar10", "--sample-sizes", "801"], "must be at most 800"),
    ],
)
def test_bad_input_of_nas_vs_robust_is_refused(
    rest: list[str],
    complaint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("something was trained")

    monkeypatch.setattr(measure, "run_pieces", fail)
    with pytest.raises(SystemExit):
        main(["nas-vs-robust", *rest, "--out", str(tmp_path)])
    assert complaint in capsys.readouterr().err


def test_the_task_judges_searches_and_winners_by_different_images(images: Path) -> None:
    task = TASKS["cifar10"].load(seed=0, setting=Setting(images=images))
    assert task.n_population == 80
    trial = optuna.trial.FixedTrial({"batch_size": 10, "peak_rate": 0.05, "l2": 0.001})
    model, instances = task.suggest(trial), [Instance(0), Instance(1)]
    together = task.losses(model, instances, part="validation", sample_size=20)
    alone = [
        task.losses(model, [each], part="validation", sample_size=20)[0] for each in instances
    ]
    assert together == alone
    assert all(0 <= loss <= 100 for loss in together)
    assert together != task.losses(model, instances, part="test", sample_size=20)


def test_data_are_part_of_what_losses_depend_on(images: Path) -> None:
    assert [path.name for path in Setting(images=images).files] == [
        *(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test_batch.bin",
    ]
    assert Setting().files == []
