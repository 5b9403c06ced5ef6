from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.checked_by_others.environment import PACKAGES


PAGE = Path(__file__).parents[2] / "docs" / "checked-by-others.md"


@pytest.mark.parametrize("name", PACKAGES)
def test_the_page_names_the_versions_that_are_compared_with(name: str) -> None:
    assert f"| {PACKAGES[name][0]} " in PAGE.read_text()


def test_a_package_that_is_not_compared_with_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["checked-by-others", "--packages", "numpy"])
    assert "invalid choice: 'numpy'" in capsys.readouterr().err
