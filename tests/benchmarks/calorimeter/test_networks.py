"""The family of networks: sizes, shapes, initial weights, and many of them at once."""

from __future__ import annotations

import pytest


torch = pytest.importorskip("torch")

from benchmarks.calorimeter.networks import Activation  # noqa: E402
from benchmarks.calorimeter.networks import Convolution  # noqa: E402
from benchmarks.calorimeter.networks import MOST_PARAMETERS  # noqa: E402
from benchmarks.calorimeter.networks import N_EXTRA  # noqa: E402
from benchmarks.calorimeter.networks import Network  # noqa: E402


FIRST = Convolution(4, pool=2, stride=2)
NETWORKS = {
    "dense": Network((), (16, 8), extra="sum"),
    "one hidden layer": Network((FIRST,), (5,), extra="sum"),
    "nothing appended": Network((FIRST, Convolution(3)), (6, 5, 4)),
    "overlapping pools": Network((FIRST, Convolution(3, pool=2, stride=1)), (6, 5), "elu"),
    "channel slopes": Network((FIRST, Convolution(3, pool=4)), (6, 5), "prelu", "barycentre"),
    "averages": Network((FIRST, Convolution(3, bias=True)), (6,), "leaky_relu", "sum", "average"),
}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def inputs(network: Network, n: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(n, 1, 15, 15).double(), torch.randn(n, N_EXTRA[network.extra]).double()


@every_network
def test_parameters_are_counted(network: Network) -> None:
    assert network.n_parameters == sum(weights.numel() for weights in network.build().parameters())


@every_network
def test_an_event_is_judged_by_itself(network: Network) -> None:
    cells, extra = inputs(network)
    module = network.build().double()
    together = module(cells, extra)
    alone = torch.cat([module(cells[i : i + 1], extra[i : i + 1]) for i in range(len(cells))])
    assert together.shape == (7,)
    torch.testing.assert_close(together, alone)


@every_network
def test_gradients_of_many_networks_at_once(network: Network) -> None:
    cells, extra = inputs(network)
    torch.manual_seed(0)
    modules = [network.build().double() for _ in range(3)]
    weights, buffers = torch.func.stack_module_state(modules)
    assert not buffers

    def loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        return (torch.func.functional_call(modules[0], parameters, (cells, extra)) ** 2).mean()

    gradients = torch.func.vmap(torch.func.grad(loss))(weights)
    for i, module in enumerate(modules):
        (module(cells, extra) ** 2).mean().backward()
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(gradients[name][i], parameter.grad)


@every_network
def test_training_and_judging_are_the_same(network: Network) -> None:
    cells, extra = inputs(network)
    module = network.build().double()
    assert torch.equal(module.train()(cells, extra), module.eval()(cells, extra))


@pytest.mark.parametrize("extra", ["sum", "barycentre"])
def test_what_is_appended_is_used(extra: str) -> None:
    network = Network((FIRST,), (30,), extra=extra)
    cells, features = inputs(network)
    module = network.build().double()
    for feature in range(features.shape[1]):
        changed = features.clone()
        changed[:, feature] += 1.0
        assert not torch.equal(module(cells, features), module(cells, changed))


def test_what_is_not_appended_is_not_used() -> None:
    module = Network((FIRST,), (30,)).build()
    cells = torch.ones(2, 1, 15, 15)
    assert torch.equal(module(cells, torch.zeros(2, 1)), module(cells, torch.ones(2, 2)))


def test_appended_to_the_layer_before_the_last() -> None:
    network = Network((FIRST,), (6, 5, 4), extra="sum")
    with_extra, without = network.build(), Network((FIRST,), (6, 5, 4)).build()
    shapes = [
        [tuple(weights.shape) for weights in module.parameters() if weights.ndim == 2]
        for module in (with_extra, without)
    ]
    assert shapes[0] == [(6, 144), (5, 6), (4, 5 + 1), (1, 4)]
    assert shapes[1] == [(6, 144), (5, 6), (4, 5), (1, 4)]


@pytest.mark.parametrize(
    ("activation", "factor"), [("relu", 2.0), ("prelu", 2.0 / (1.0 + 0.25**2))]
)
def test_initial_weights_are_those_of_he(activation: Activation, factor: float) -> None:
    torch.manual_seed(0)
    network = Network((Convolution(32, pool=2, stride=2), Convolution(64, pool=4)), (64, 9))
    module = Network(network.convolutions, network.hidden, activation).build()
    second = module.body[3].weight
    assert second.shape == (64, 32, 3, 3)
    assert float(second.detach().var()) == pytest.approx(factor / 288, rel=0.05)
    assert all((layer.bias == 0).all() for layer in module.head if hasattr(layer, "bias"))


def test_initial_weights_come_from_the_global_generator() -> None:
    first, second, other = ([], [], [])
    for found, seed in ((first, 0), (second, 0), (other, 1)):
        torch.manual_seed(seed)
        found += [weights.detach() for weights in Network((FIRST,), (5,)).build().parameters()]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])


def test_an_untrained_prelu_is_a_leaky_relu() -> None:
    torch.manual_seed(0)
    module = Network((FIRST,), (5,), "prelu").build()
    assert (module.head[1].weight == 0.25).all()
    assert module.body[2].weight.shape == (4,)
    assert module.head[1].weight.shape == (5,)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_maps_are_activated_then_pooled(pooling: str) -> None:
    torch.manual_seed(0)
    module = Network((FIRST,), (5,), "prelu", pooling=pooling).build()
    cells = torch.randn(3, 1, 15, 15)
    pool = getattr(torch.nn.functional, {"max": "max_pool2d", "average": "avg_pool2d"}[pooling])
    activated = torch.nn.functional.prelu(module.body[0](cells), torch.full((4,), 0.25))
    torch.testing.assert_close(module.body(cells), pool(activated, 2, 2).flatten(1))


def test_sides_of_maps() -> None:
    wide = Convolution(2, pool=2, stride=2)
    assert Network((wide, Convolution(2, pool=2)), (3,)).sides == (6, 3)
    assert Network((wide, Convolution(2, pool=4)), (3,)).sides == (6, 1)
    assert Network((Convolution(2, kernel=5),), (3,)).sides == (11,)
    assert Network((), (3,)).sides == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"convolutions": (Convolution(1),) * 3},
            "convolutions must be at most 2, but there were 3",
        ),
        ({"hidden": ()}, "hidden must have 1 to 3 widths"),
        ({"hidden": (1, 2, 3, 4)}, "hidden must have 1 to 3 widths"),
        ({"hidden": (0,)}, "hidden must be at least 1, but was 0"),
        ({"convolutions": (Convolution(0),)}, "channels must be at least 1, but was 0"),
        ({"convolutions": (Convolution(1, stride=0),)}, "stride must be at least 1, but was 0"),
        ({"convolutions": (Convolution(1, pool=14),)}, "leave maps of sides"),
        ({"activation": "tanh"}, "activation='tanh' is unknown"),
        ({"extra": "mean"}, "extra='mean' is unknown"),
        ({"pooling": "min"}, "pooling='min' is unknown"),
        ({"hidden": (200,)}, f"at most {MOST_PARAMETERS} parameters"),
    ],
)
def test_what_is_not_in_the_family(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Network(**{"convolutions": (), "hidden": (5,), **arguments})


def test_most_parameters() -> None:
    # 225 inputs, 132 units, 1 output: 29 965.
    assert Network((), (132,)).n_parameters <= MOST_PARAMETERS
    with pytest.raises(ValueError, match="30192"):
        Network((), (133,))
