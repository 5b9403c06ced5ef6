"""Published models, and optimizers."""

from __future__ import annotations

import pytest


torch = pytest.importorskip("torch")

from benchmarks.calorimeter.models import PUBLISHED  # noqa: E402
from benchmarks.calorimeter.models import TrainingSettings  # noqa: E402


@pytest.mark.parametrize(
    ("name", "n_parameters", "extra", "settings"),
    [
        ("Model 1", 23_923, "none", ("NAdam", 1e-4, 64, 0.01)),
        ("Model 2", 23_932, "sum", ("AdamW", 1e-3, 32, 0.1)),
        ("Model 3", 23_644, "none", ("AdamW", 1e-4, 32, 0.1)),
        ("Model 4", 23_662, "barycentre", ("AdamW", 1e-4, 32, 0.1)),
        ("NAS 1", 5_756, "sum", ("AdamW", 1e-3, 32, 1e-3)),
        ("NAS 2", 15_932, "sum", ("AdamW", 1e-2, 32, 0.01)),
    ],
)
def test_published_models(
    name: str, n_parameters: int, extra: str, settings: tuple[str, float, int, float]
) -> None:
    model = PUBLISHED[name]
    built = sum(weights.numel() for weights in model.network.build().parameters())
    assert built == model.network.n_parameters == n_parameters
    assert model.network.extra == extra
    assert model.training == TrainingSettings(*settings, n_epochs=50)


def test_sides_of_published_maps() -> None:
    for name, model in PUBLISHED.items():
        assert model.network.sides == ((6, 3) if name in ("Model 1", "Model 2") else (6, 1))


def step(optimizer: str, *, weight_decay: float, gradient: float) -> float:
    """How far one step goes from 1."""
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    settings = TrainingSettings(optimizer, 0.1, 32, weight_decay)
    weight.grad = torch.full((1,), gradient, dtype=torch.float64)
    settings.make_optimizer([weight]).step()
    return 1.0 - weight.item()


@pytest.mark.parametrize("optimizer", ["Adadelta", "Adam", "AdamW", "NAdam", "RMSprop", "SGD"])
def test_optimizers_go_down(optimizer: str) -> None:
    assert (
        step(optimizer, weight_decay=0.0, gradient=1.0)
        > 0.0
        == step(optimizer, weight_decay=0.0, gradient=0.0)
    )


@pytest.mark.parametrize("optimizer", ["Adadelta", "Adam", "NAdam", "RMSprop", "SGD"])
def test_decay_is_an_l2_term(optimizer: str) -> None:
    decayed = step(optimizer, weight_decay=0.5, gradient=0.0)
    assert decayed == pytest.approx(step(optimizer, weight_decay=0.0, gradient=0.5), rel=1e-12)


def test_decay_of_adamw_is_decoupled() -> None:
    moved = step("AdamW", weight_decay=0.5, gradient=0.0)
    assert moved == pytest.approx(0.1 * 0.5, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Lion", 0.1, 32, 0.0), "optimizer='Lion' is unknown"),
        (("SGD", 0.0, 32, 0.0), "learning_rate must lie in"),
        (("SGD", 0.1, 0, 0.0), "batch_size must be at least 1"),
        (("SGD", 0.1, 32, -0.1), "weight_decay must lie in"),
        (("SGD", 0.1, 32, 0.0, 0), "n_epochs must be at least 1"),
    ],
)
def test_settings_that_are_not_allowed(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingSettings(*arguments)
