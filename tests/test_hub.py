"""The packages for OptunaHub, loaded from their folder, and their examples."""

from __future__ import annotations

from pathlib import Path
import runpy
from typing import Any

import pytest

import optuna_robust as opr


optunahub = pytest.importorskip("optunahub")

REGISTRY = Path(__file__).parent.parent / "hub" / "package"
PACKAGES = sorted(str(each.parent.relative_to(REGISTRY)) for each in REGISTRY.rglob("README.md"))
FIELDS = {"author", "title", "description", "tags", "optuna_versions", "license"}


def test_there_is_a_sampler_and_a_pruner() -> None:
    assert PACKAGES == ["pruners/robustness", "samplers/robustness"]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_what_the_registry_asks_for(package: str) -> None:
    folder = REGISTRY / package
    _, head, text = (folder / "README.md").read_text().split("---\n", 2)
    assert {line.split(":")[0] for line in head.splitlines()} == FIELDS
    for section in ("## Abstract", "## APIs", "## Installation", "## Example"):
        assert section in text
    assert (folder / "LICENSE").read_text() == (REGISTRY.parents[1] / "LICENSE").read_text()


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_loads_and_its_example_runs(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(name: str, **options: Any) -> Any:
        return optunahub.load_local_module(name, registry_root=str(REGISTRY))

    module = load(package)
    assert all(getattr(module, name) is getattr(opr, name) for name in module.__all__)
    monkeypatch.setattr(optunahub, "load_module", load)
    runpy.run_path(str(REGISTRY / package / "example.py"))
    assert "x" in capsys.readouterr().out
