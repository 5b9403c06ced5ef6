"""The command that counts how often the race misses the best model."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import main


def test_every_cell_is_counted_and_a_large_race_is_timed(capsys):
    assert main(["race-error-rate", "--races", "1", "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    for cell in ("100 | equal", "100 | unequal", "100 | t3", "1000 | equal", "1000 | unequal"):
        assert f"| {cell}" in printed
    assert "7000 models x 20 instances, q3+iqr" in printed


@pytest.mark.parametrize("option", [["--races", "0"], ["--alpha", "1"], ["--jobs", "x"]])
def test_bad_option_is_told(option, capsys):
    with pytest.raises(SystemExit):
        main(["race-error-rate", *option])
    assert option[0] in capsys.readouterr().err
