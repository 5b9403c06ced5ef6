"""``python -m benchmarks training-throughput``."""

from __future__ import annotations

import json
from pathlib import Path
import time

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.training_throughput.measure import Difference
from benchmarks.training_throughput.measure import measure
from benchmarks.training_throughput.measure import Throughput
from benchmarks.training_throughput.ways import Case
from benchmarks.training_throughput.ways import plain_loop
from optuna_robust import Instance


TINY = ["--events", "64", "--epochs", "1", "--rounds", "1"]


def test_a_row_has_medians_and_ranges() -> None:
    found = Throughput("Model 2", "cpu", "2 processes", (150.0, 320.0), (1.5, 1.6), (0.01, 0.02))
    ratios = "1.55 (1.50 to 1.60)"
    assert found.row() == ["Model 2", "cpu", "2 processes", "235", ratios, "15.00"]


def test_the_plain_loop_learns() -> None:
    data = Case("Model 2", "cpu").data()
    first, last = (
        plain_loop(Case("Model 2", "cpu", n_events=256, n_epochs=n), data, Instance(0))
        for n in (1, 6)
    )
    assert last < 0.7 * first


def test_every_way_is_measured_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    command = ["training-throughput", "--models", "Model 2", *TINY, "--out", str(tmp_path)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    for way in (
        "plain loop ",
        "plain loop, 1 thread",
        "processes",
        f"PyTorch {torch.__version__}",
    ):
        assert way in printed
    assert (tmp_path / "training-throughput.md").read_text() in printed + "\n"
    written = json.loads((tmp_path / "training-throughput.json").read_text())
    assert {each["model"] for each in written["throughput"]} == {"Model 2"}
    assert written["differences"][0]["of_losses"] < 1e-6
    assert torch.get_num_threads() == threads


def test_the_command_for_a_gpu_runs_on_a_cpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["training-throughput", "--preset", "gpu", "--device", "cpu", "--models", "Model 4"]
    assert main([*command, "--together", "2", *TINY, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "| 2 together " in printed and "| vmap   |" in printed


def test_what_would_take_too_long_is_left_out() -> None:
    case = Case("Model 2", "cpu", n_events=32, n_epochs=1)
    found = measure(case, together=(2, 10**6), n_rounds=9, deadline=time.monotonic() + 1.0)
    assert "1000000 together" not in {each.way for each in found}


def test_losses_that_differ_are_named() -> None:
    assert Difference("Model 2", "cuda", "vmap", 2e-6).row()[-1] == "DIFFERENT"
    assert not Difference("Model 2", "cuda", "vmap", float("nan")).is_small


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["training-throughput", "--preset", "gpu"])
    assert "PyTorch finds no GPU; --device cpu runs the same" in capsys.readouterr().err
