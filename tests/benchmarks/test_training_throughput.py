"""``python -m benchmarks training-throughput``."""

from __future__ import annotations

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.calorimeter.inputs import prepare
from benchmarks.calorimeter.models import PUBLISHED
from benchmarks.calorimeter.setting import DATASETS
from benchmarks.calorimeter.simulation import simulate
from benchmarks.training_throughput.measure import plain_loop
from benchmarks.training_throughput.measure import table
from benchmarks.training_throughput.measure import Throughput
from optuna_robust import Instance


def test_ratios_are_to_the_loop_of_the_same_device_and_round() -> None:
    found = [
        Throughput("cpu", "plain loop", (100.0, 200.0, 100.0)),
        Throughput("cpu", "2 processes", (150.0, 320.0, 180.0)),
        Throughput("cuda", "plain loop", (1000.0, 1000.0, 1000.0)),
        Throughput("cuda", "64 together", (50_000.0, 50_000.0, 50_000.0)),
    ]
    lines = table(found).splitlines()
    assert "| cpu | 2 processes | 180 | 0.0036 | 1.60 (1.50 to 1.80) |" in lines
    assert "| cuda | 64 together | 50000 | 1 | 50.00 (50.00 to 50.00) |" in lines


def test_the_plain_loop_learns() -> None:
    data = prepare(simulate(DATASETS["B"], 256, seed=0), "energy")
    first, last = (plain_loop(PUBLISHED["Model 2"], data, Instance(0), n_steps=n) for n in (1, 40))
    assert last < 0.5 * first


def test_every_way_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    command = ["training-throughput", "--devices", "cpu", "--together", "2", "--steps", "4"]
    assert main([*command, "--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    for way in ("plain loop", "processes", "2 together"):
        assert way in printed
    assert f"PyTorch {torch.__version__}" in printed
    assert torch.get_num_threads() == threads


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["training-throughput", "--devices", "cuda"])
    assert "--devices cuda: PyTorch finds no GPU" in capsys.readouterr().err
