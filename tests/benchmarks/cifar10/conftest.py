from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.cifar10.simulated import write_simulated


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in CIFAR-10's format with 20 simulated images a file."""
    folder = tmp_path_factory.mktemp("cifar10")
    write_simulated(folder, 20, seed=0)
    return folder


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
