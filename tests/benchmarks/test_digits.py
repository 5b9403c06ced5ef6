import numpy as np
import optuna
import pytest


torch = pytest.importorskip("torch")
datasets = pytest.importorskip("sklearn.datasets")

from benchmarks.tasks import digits  # noqa: E402
from benchmarks.tasks import Setting  # noqa: E402
from benchmarks.tasks import TASKS  # noqa: E402
from optuna_robust import Instance  # noqa: E402


MODEL = {
    "n_conv_layers": 1,
    "channels_0": 8,
    "kernel_size": 3,
    "pool": "max",
    "batch_norm": False,
    "dense_width": 16,
    "activation": "relu",
    "dropout": 0.2,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "weight_decay": 1e-4,
    "batch_size": 64,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def labels():
    return datasets.load_digits().target


@pytest.fixture(scope="module")
def task():
    return TASKS["digits"].load(seed=0, setting=Setting())


def loss(task, instance, part="validation"):
    model = task.suggest(optuna.trial.FixedTrial(MODEL))
    (found,) = task.losses(model, [instance], part=part, sample_size=150)
    return found


def test_parts_are_disjoint_and_complete(labels):
    rows = digits.split(labels, seed=0)
    together = np.concatenate([rows.population, rows.validation, rows.test])
    assert np.array_equal(np.sort(together), np.arange(len(labels)))
    assert abs(len(rows.validation) - len(rows.test)) <= 1


@pytest.mark.parametrize("part", ["population", "validation", "test"])
def test_parts_are_stratified(labels, part):
    rows = getattr(digits.split(labels, seed=0), part)
    expected = np.bincount(labels) * len(rows) / len(labels)
    assert np.abs(np.bincount(labels[rows]) - expected).max() <= 1.5


def test_split_depends_on_the_seed(labels):
    first, second = (set(digits.split(labels, seed=seed).test) for seed in (0, 1))
    assert first != second
    assert first == set(digits.split(labels, seed=0).test)


def test_a_training_repeats_with_its_instance(task):
    instance = Instance(3)
    assert loss(task, instance) == loss(task, instance) == loss(task, Instance(3))


def test_instances_differ(task):
    assert len({loss(task, Instance(number)) for number in range(6)}) > 1


@pytest.mark.parametrize("source", ["init", "order", "sample"])
def test_every_source_of_variation_makes_a_difference(task, source):
    assert len({loss(task, Instance(number, vary=(source,))) for number in range(6)}) > 1


def test_nothing_varies_when_all_is_frozen(task):
    assert loss(task, Instance(0, vary=())) == loss(task, Instance(1, vary=()))


def test_a_training_leaves_the_global_generator_alone(task):
    before = torch.get_rng_state()
    loss(task, Instance(0))
    assert torch.equal(before, torch.get_rng_state())


def test_parts_give_different_losses(task):
    assert loss(task, Instance(0), "validation") != loss(task, Instance(0), "test")


def test_several_instances_are_those_one_by_one(task):
    model = task.suggest(optuna.trial.FixedTrial(MODEL))
    instances = [Instance(number) for number in range(3)]
    together = task.losses(model, instances, part="test", sample_size=150)
    assert together == [loss(task, instance, "test") for instance in instances]


def test_every_model_of_the_search_space_can_be_built():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(60):
        network = digits.build_network(digits.suggest_model(study.ask()))
        assert network.eval()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_a_diverged_network_counts_as_a_guess():
    network = digits.build_network(digits.suggest_model(optuna.trial.FixedTrial(MODEL)))
    with torch.no_grad():
        for weights in network.parameters():
            weights.fill_(float("nan"))
    images = torch.zeros(100, 1, 8, 8)
    assert digits.error_percent(network, images, torch.arange(100) % 10) == pytest.approx(90.0)
