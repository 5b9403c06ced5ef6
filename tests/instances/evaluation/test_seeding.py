from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from optuna_robust._instances.evaluation import global_seed


def draw() -> tuple[float, float, float]:
    return random.random(), np.random.random(), float(torch.rand(()))


def test_the_same_seed_gives_the_same_numbers() -> None:
    with global_seed(3):
        first = draw()
    with global_seed(3):
        again = draw()
    with global_seed(4):
        other = draw()
    assert first == again
    assert not set(first) & set(other)


def test_state_is_restored_after_an_error() -> None:
    state = torch.get_rng_state(), random.getstate()
    with pytest.raises(KeyboardInterrupt), global_seed(3):
        draw()
        raise KeyboardInterrupt
    assert torch.equal(torch.get_rng_state(), state[0])
    assert random.getstate() == state[1]


def test_seeding_can_be_nested() -> None:
    with global_seed(3):
        with global_seed(4):
            draw()
        inside = draw()
    with global_seed(3):
        assert draw() == inside


def test_torch_is_not_imported_and_a_late_import_is_told() -> None:
    code = (
        "import sys, warnings\n"
        "from optuna_robust._instances.evaluation._seeding import global_seed\n"
        "with global_seed(0): pass\n"
        "assert 'torch' not in sys.modules\n"
        "with warnings.catch_warnings(record=True) as told:\n"
        "    warnings.simplefilter('always')\n"
        "    with global_seed(0): import torch\n"
        "assert any('import torch before' in str(each.message) for each in told)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
