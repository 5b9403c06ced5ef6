"""Instances: seeds that repeat, streams apart, samples of the training population."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from optuna_robust import Instance
from optuna_robust._instances.instance import check_sources
from optuna_robust._instances.instance import SOURCES


NUMBERS = range(300)
PHASES = ("search", "confirmation")


def draws(instance):
    """What each source of variation gives."""
    return {
        "init": instance.seed,
        "order": instance.rng.integers(2**62),
        "sample": tuple(instance.sample(1000, 20)),
    }


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_instance_repeats_in_another_process():
    code = (
        "from optuna_robust._instances.instance import Instance\n"
        "for phase in ('search', 'confirmation'):\n"
        "    i = Instance(7, study_seed=42, phase=phase, model=3)\n"
        "    print(i.seed, i.rng.random(), i.sample(100, 5).tolist(), i.bootstrap(9).tolist())"
    )
    here = []
    for phase in PHASES:
        i = Instance(7, study_seed=42, phase=phase, model=3)
        line = [i.seed, i.rng.random(), i.sample(100, 5).tolist(), i.bootstrap(9).tolist()]
        here.append(" ".join(map(str, line)))
    assert run_python(code).splitlines() == here


def test_importing_instance_does_not_import_torch():
    code = "import sys, optuna_robust._instances.instance; print('torch' in sys.modules)"
    assert run_python(code) == "False"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("phase", PHASES)
def test_every_number_differs(source, phase):
    values = {draws(Instance(n, phase=phase))[source] for n in NUMBERS}
    assert len(values) == len(NUMBERS)


@pytest.mark.parametrize("source", SOURCES)
def test_every_study_seed_differs(source):
    assert len({draws(Instance(0, seed))[source] for seed in NUMBERS}) == len(NUMBERS)


@pytest.mark.parametrize("source", SOURCES)
def test_phases_differ(source):
    for number in range(20):
        search, confirmation = (draws(Instance(number, phase=phase)) for phase in PHASES)
        assert search[source] != confirmation[source]


@pytest.mark.parametrize(("phase", "remainder"), [("search", 0), ("confirmation", 1)])
@pytest.mark.parametrize("study_seed", [0, 1, 2**70])
def test_seeds_of_the_phases_are_disjoint_and_in_range(phase, remainder, study_seed):
    seeds = [Instance(number, study_seed, phase).seed for number in NUMBERS]
    assert {seed % 2 for seed in seeds} == {remainder}
    assert all(type(seed) is int and 0 <= seed < 2**31 for seed in seeds)
    # They use the range: half of them lie in its upper half.
    assert 100 < sum(seed >= 2**30 for seed in seeds) < 200


@pytest.mark.parametrize("vary", [SOURCES, ()])
def test_streams_are_apart(vary):
    instance = Instance(3, vary=vary)
    order_state = instance.rng.bit_generator.seed_seq.generate_state(1)[0]
    assert instance.seed // 2 != order_state >> 2
    rows = instance.sample(1000, 20, replace=True)
    assert rows.tolist() != instance.rng.integers(1000, size=20).tolist()


@pytest.mark.parametrize("frozen", SOURCES)
def test_frozen_source_is_the_same_for_all_numbers_and_phases(frozen):
    vary = tuple(source for source in SOURCES if source != frozen)
    values = {
        draws(Instance(number, phase=phase, vary=vary, model=model))[frozen]
        for number in range(20)
        for phase in PHASES
        for model in (None, 0, 5)
    }
    assert len(values) == 1


@pytest.mark.parametrize("frozen", SOURCES)
@pytest.mark.parametrize("phase", PHASES)
def test_freezing_one_source_leaves_the_others(frozen, phase):
    vary = tuple(source for source in SOURCES if source != frozen)
    for number in range(10):
        free = draws(Instance(number, phase=phase))
        held = draws(Instance(number, phase=phase, vary=vary))
        assert {name: held[name] for name in vary} == {name: free[name] for name in vary}
        assert held[frozen] != free[frozen]


@pytest.mark.parametrize("source", SOURCES)
def test_frozen_source_depends_on_the_study_seed(source):
    values = {draws(Instance(0, seed, vary=()))[source] for seed in range(20)}
    assert len(values) == 20


@pytest.mark.parametrize("source", SOURCES)
def test_model_has_instances_of_its_own(source):
    values = {draws(Instance(4, model=model))[source] for model in (None, *range(20))}
    assert len(values) == 21
    assert draws(Instance(4, model=2)) == draws(Instance(4, model=2))


def test_rng_moves_on_and_starts_anew_in_an_equal_instance():
    instance = Instance(5)
    first, second = instance.rng.random(), instance.rng.random()
    assert first != second
    assert Instance(5).rng.random() == first
    assert instance == Instance(5)


def test_seed_and_sample_do_not_depend_on_what_was_drawn_before():
    used, fresh = Instance(5), Instance(5)
    used.rng.random(10)
    used.sample(100, 10)
    used.bootstrap(30)
    assert used.seed == fresh.seed
    assert used.sample(50, 7).tolist() == fresh.sample(50, 7).tolist()


def test_global_generator_is_left_alone():
    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    draws(Instance(0))
    assert np.random.random() == expected


def test_torch_generator_repeats_and_differs():
    torch = pytest.importorskip("torch")

    def permutation(instance):
        return tuple(torch.randperm(30, generator=instance.torch_generator()).tolist())

    before = torch.get_rng_state()
    assert permutation(Instance(1)) == permutation(Instance(1))
    assert len({permutation(Instance(n, phase=p)) for n in range(20) for p in PHASES}) == 40
    assert len({permutation(Instance(n, vary=("init",))) for n in range(20)}) == 1
    assert torch.equal(torch.get_rng_state(), before)


def test_sample_has_no_repeats_and_lies_in_the_population():
    for number in range(20):
        rows = Instance(number).sample(50, 30)
        assert rows.shape == (30,)
        assert len(set(rows.tolist())) == 30
        assert rows.min() >= 0
        assert rows.max() < 50


def test_sample_of_everything_is_a_permutation():
    rows = Instance(2).sample(40, 40).tolist()
    assert sorted(rows) == list(range(40))
    assert rows != list(range(40))


@pytest.mark.parametrize("size", [1, 17, 99])
def test_sample_smaller_is_the_beginning_of_a_larger_one(size):
    instance = Instance(3)
    assert instance.sample(100, size).tolist() == instance.sample(100, 100)[:size].tolist()


@pytest.mark.parametrize("replace", [False, True])
def test_sample_is_uniform(replace):
    rows = [Instance(n).sample(20, 10, replace=replace) for n in range(1000)]
    counts = np.bincount(np.concatenate(rows), minlength=20)
    assert stats.chisquare(counts).pvalue > 1e-3
    firsts = np.bincount([sample[0] for sample in rows], minlength=20)
    assert stats.chisquare(firsts).pvalue > 1e-3


def test_sample_with_replacement_repeats_rows_and_may_exceed_the_population():
    rows = Instance(0).sample(10, 500, replace=True)
    assert rows.shape == (500,)
    assert set(rows.tolist()) == set(range(10))


def test_bootstrap_is_a_sample_with_replacement():
    instance = Instance(6)
    assert instance.bootstrap(30).shape == (30,)
    assert instance.bootstrap(30, 12).tolist() == instance.sample(30, 12, replace=True).tolist()


def test_bootstrap_leaves_out_about_one_row_in_e():
    shares = [len(set(Instance(n).bootstrap(200).tolist())) / 200 for n in range(100)]
    assert np.mean(shares) == pytest.approx(1 - 1 / np.e, abs=0.01)


@pytest.mark.parametrize(
    ("n_population", "size", "error", "message"),
    [
        (10, 11, ValueError, "size=11 is larger than n_population=10"),
        (0, 1, ValueError, "n_population must be at least 1, but was 0"),
        (10, 0, ValueError, "size must be at least 1, but was 0"),
        (10, 2.0, TypeError, "size must be an integer, but was 2.0"),
        ("10", 2, TypeError, "n_population must be an integer, but was '10'"),
    ],
)
def test_sample_bad_input(n_population, size, error, message):
    with pytest.raises(error, match=message):
        Instance(0).sample(n_population, size)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"number": -1}, ValueError, "number must be at least 0, but was -1"),
        ({"number": 1.0}, TypeError, "number must be an integer"),
        ({"number": 0, "study_seed": -1}, ValueError, "study_seed must be at least 0"),
        ({"number": 0, "study_seed": None}, TypeError, "study_seed must be an integer"),
        ({"number": 0, "phase": "test"}, ValueError, "phase='test' is unknown; choose one of se"),
        ({"number": 0, "vary": ("weights",)}, ValueError, "the unknown source 'weights'; choose"),
        ({"number": 0, "vary": "init"}, TypeError, r"vary must be a sequence .* \('init',\)"),
        ({"number": 0, "model": -1}, ValueError, "model must be at least 0"),
    ],
)
def test_instance_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        Instance(**options)


def test_sources_come_in_their_usual_order_without_repeats():
    assert check_sources(["sample", "init", "sample"]) == ("init", "sample")
    assert Instance(0, vary=("sample", "order", "init")) == Instance(0)
    assert check_sources(()) == ()


def test_instance_is_frozen_and_hashable():
    instance = Instance(1)
    with pytest.raises(FrozenInstanceError):
        instance.number = 2
    assert len({instance, Instance(1), Instance(2)}) == 2


def test_instance_pickles():
    instance = Instance(9, study_seed=3, phase="confirmation", vary=("order",), model=4)
    copy = pickle.loads(pickle.dumps(instance))
    assert copy == instance
    assert draws(copy) == draws(Instance(9, 3, "confirmation", ("order",), 4))


def test_numpy_integers_are_numbers():
    assert draws(Instance(np.int64(3), np.int64(5))) == draws(Instance(3, 5))
