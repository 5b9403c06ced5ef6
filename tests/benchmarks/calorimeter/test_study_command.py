"""``python -m benchmarks calorimeter sample-size`` and ``initialization``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.calorimeter import initialization
from benchmarks.calorimeter import sample_size
from benchmarks.calorimeter import study_command
from benchmarks.calorimeter.simulated_file import simulate_to_file
from benchmarks.calorimeter.training import NamedModels
from optuna_robust import Instance
from optuna_robust import SelectionResult
from optuna_robust._instances.evaluation import Evaluator
from optuna_robust._instances.evaluation import Job


pytest.importorskip("h5py")
pytest.importorskip("xgboost")


def arguments(name: str, events: Path, out: Path, *rest: str) -> list[str]:
    given = ["calorimeter", name, "--events", str(events), "--out", str(out)]
    return [*given, "--instances", "3", "--jobs", "1", *rest]


def test_sample_sizes_are_reported_and_gone_on_with(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["--models", "NAS 1", "parametric"]
    command = arguments("sample-size", events, tmp_path, *models, "--sizes", "32", "64")
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "1000 events of data set B, seed 0, positions at the face" in printed
    for row in ("| 32 | NAS 1 | 3 | 0 |", "| 64 | parametric | 3 | 0 |"):
        assert row in printed
    assert (tmp_path / "sample-size-energy.md").read_text(encoding="utf-8") in printed
    assert "plotly" in (tmp_path / "sample-size-energy.html").read_text(encoding="utf-8").lower()
    result = SelectionResult.load(tmp_path / "sample-size-energy.h5")
    assert result.losses.shape == (4, 3) and np.isfinite(result.losses).all()

    # One more model: what there is is not trained again.
    models = ["--models", "NAS 1", "parametric", "xgboost"]
    more = arguments("sample-size", events, tmp_path, *models, "--sizes", "32", "64")
    assert main(more) == 0
    again = SelectionResult.load(tmp_path / "sample-size-energy.h5")
    assert (again.n_reused, again.n_trainings) == (12, 6)
    np.testing.assert_array_equal(again.losses[[0, 1, 3, 4]], result.losses)


def test_sources_are_switched_on_separately(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments("initialization", events, tmp_path, "--problem", "position")
    with pytest.warns(UserWarning, match="have the same loss"):
        assert main([*command, "--models", "parametric", "--sample-size", "50"]) == 0
    assert "| parametric | external | 3 |" in capsys.readouterr().out
    losses = {
        source: SelectionResult.load(tmp_path / f"initialization-position-{source}.h5").losses[0]
        for source in initialization.SOURCES_OF
    }
    # The parametric model has no weights: only the sample makes instances differ.
    assert np.ptp(losses["internal"]) == 0.0
    assert np.ptp(losses["external"]) > 0.0
    np.testing.assert_array_equal(losses["external"], losses["both"])


@pytest.mark.parametrize("problem", ["energy", "position"])
def test_baselines_and_networks_train_on_the_instances_sample(events: Path, problem: str) -> None:
    objective = Evaluator(NamedModels(events, problem, judged_by="test"))  # type: ignore[arg-type]
    assert objective.takes_several
    for name in ("parametric", "xgboost", "NAS 1" if problem == "energy" else "Model 3"):
        jobs = [Job({"model": name, "sample_size": 32}, Instance(number)) for number in range(2)]
        losses = [outcome.loss for outcome in objective.evaluate_together(jobs)]
        assert losses == pytest.approx([objective.evaluate(job).loss for job in jobs])
        assert losses[0] != losses[1]


def test_the_bias_is_told_where_it_is_there() -> None:
    rng = np.random.default_rng(0)
    both = {
        "Model 1": {100: 2.0 + rng.normal(size=20)},
        "Model 2": {100: 1.0 + 0.1 * rng.normal(size=20)},
    }
    *_, row = sample_size.comparison(both, "energy").splitlines()
    size, level, lower, spread, narrower = (float(cell) for cell in row.strip("|").split("|"))
    assert size == 100 and 0.3 < level < 0.8 and 0.05 < spread < 0.2
    assert lower < 0.01 and narrower < 1e-4
    assert sample_size.comparison({"Model 1": both["Model 1"]}, "energy") == ""


def test_independent_sources_add_up_in_squares() -> None:
    rng = np.random.default_rng(0)
    internal, external = 3.0 * rng.normal(size=4000), 4.0 * rng.normal(size=4000)
    losses = {
        "Model 2": {
            "internal": internal,
            "external": external,
            "both": rng.permutation(internal) + rng.permutation(external),
        }
    }
    lines = initialization.table(losses).splitlines()
    both = float(lines[-2].split("|")[6].split("[")[0])
    summed = float(lines[-1].split("|")[6])
    assert abs(both - 5.0) < 0.2 and abs(summed - 5.0) < 0.2


def test_presets_fit_their_events() -> None:
    for preset in study_command.PRESETS.values():
        largest = max(*preset.sizes, preset.sample_size)
        assert largest <= 0.7 * preset.n_events
        assert len(set(preset.sizes)) == len(preset.sizes)
    paper = study_command.PRESETS["paper"].sizes
    assert (len(paper), paper[0], paper[-1]) == (132, 100, 32_000)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (["--models", "Model 7"], "model='Model 7' is unknown; choose one of Model 1, Model 2"),
        (["--models", "Model 4"], "Model 4 appends the barycentre, which goes with the problem"),
        (["--sizes", "900"], "at most 700 events, the population of"),
        (["--sizes", "0"], "--sizes: must be at least 1, but was 0"),
        (["--instances", "1"], "--instances: must be at least 2, but was 1"),
        (["--events", "missing.h5"], "missing.h5"),
        (["--position", "centre"], "events.h5 has positions at the face"),
        (["--position", "back"], "--position: invalid choice: 'back'"),
    ],
)
def test_bad_arguments_are_named(
    rest: list[str],
    message: str,
    events: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(arguments("sample-size", events, tmp_path, *rest))
    assert message in capsys.readouterr().err
    assert not (tmp_path / "sample-size-energy.md").exists()


def test_other_events_are_another_store(events: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    simulate_to_file(other, "B", 900, seed=0, n_jobs=1)
    command = ["--models", "parametric", "--sizes", "50"]
    assert main(arguments("sample-size", events, tmp_path, *command)) == 0
    with pytest.raises(SystemExit):  # the store refuses to mix
        main(arguments("sample-size", other, tmp_path, *command))


def test_positions_are_not_mixed_in_a_store(events: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    simulate_to_file(other, "B", 1000, seed=0, n_jobs=1, position="centre")
    command = ["--problem", "position", "--models", "parametric", "--sizes", "200"]
    assert main(arguments("sample-size", events, tmp_path, *command, "--position", "face")) == 0
    with pytest.raises(SystemExit):
        main(arguments("sample-size", other, tmp_path, *command))

    found = arguments("sample-size", other, tmp_path / "other", *command, "--position", "centre")
    assert main(found) == 0
    at_face, at_centre = (
        SelectionResult.load(folder / "sample-size-position.h5").losses.mean()
        for folder in (tmp_path, tmp_path / "other")
    )
    assert at_centre < 0.6 * at_face


def test_diverged_instances_are_counted_and_left_out_of_spreads() -> None:
    losses = np.array([1.0, 2.0, 3.0, np.inf])
    row = sample_size.table({"Model 1": {100: losses}}).splitlines()[-1]
    assert row == "| 100 | Model 1 | 4 | 1 | 2.5 | 1 | 1 | inf |"
    by_source = dict.fromkeys(initialization.SOURCES_OF, losses)
    row = initialization.table({"Model 1": by_source}).splitlines()[2]
    assert row == "| Model 1 | internal | 4 | 1 | 2.5 | 1 | 1 | inf | 0.00 |"
    both = {"Model 1": {100: losses}, "Model 2": {100: np.array([0.5, 1.0, 1.5, 2.0])}}
    *_, row = sample_size.comparison(both, "energy").splitlines()
    assert row.startswith("| 100 | 0.500 | ") and "nan" not in row
