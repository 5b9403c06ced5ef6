"""An instance: one training of a model, with its number, its seeds and its training sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from functools import lru_cache
from typing import Any
from typing import get_args
from typing import Literal
from typing import TYPE_CHECKING
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count


if TYPE_CHECKING:
    import torch


Source: TypeAlias = Literal["init", "order", "sample"]
Phase: TypeAlias = Literal["search", "confirmation"]

SOURCES: tuple[Source, ...] = get_args(Source)
_PHASES: tuple[Phase, ...] = get_args(Phase)

# Number of the first instance of a confirmation: above every number of a search, since objectives
# may use the number as their seed.
FIRST_CONFIRMATION = 1_000_000

# First elements of the spawn keys: what varies with the instance, and what does not.
_VARYING, _FROZEN = 0, 1


@dataclass(frozen=True)
class Instance:
    """One training of a model: what is the same for all models, and other for each instance.

    An objective that has a parameter named ``instance`` gets one. Everything random in a
    training should come from it: initial weights from :attr:`seed`, the order of the data from
    :attr:`order_seed`, :attr:`rng` or :meth:`torch_generator`, the training sample from
    :meth:`sample`. These three sources of variation have streams of their own, made from
    ``study_seed`` through :class:`numpy.random.SeedSequence`, and each can be frozen.

    Args:
        number:
            0, 1, 2, …; the same number means the same seeds and sample for every model.
        study_seed:
            The integer that all seeds come from.
        phase:
            ``"search"`` or ``"confirmation"``; their seeds are disjoint.
        vary:
            The sources that differ between instances, of ``"init"``, ``"order"`` and
            ``"sample"``. A source that is not named is frozen: the same for every instance, in
            both phases.
        model:
            Number of the model if every model has instances of its own (``reshuffle=True``);
            None (default) for common instances.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If a number is negative, or a phase or source is unknown.

    Example:
        >>> from optuna_robust import Instance
        >>> instance = Instance(0)
        >>> instance.seed == Instance(0).seed != Instance(1).seed
        True
        >>> instance.sample(1000, 3).shape
        (3,)
    """

    number: int
    study_seed: int = 0
    phase: Phase = "search"
    vary: tuple[Source, ...] = SOURCES
    model: int | None = None

    def __post_init__(self) -> None:
        check_choice("phase", self.phase, _PHASES)
        plain: dict[str, Any] = {"vary": check_sources(self.vary)}
        for name in ("number", "study_seed", "model"):
            if name != "model" or self.model is not None:
                plain[name] = check_count(name, getattr(self, name), minimum=0)
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    def fresh(self) -> Instance:
        """Return the same instance with a generator that begins again."""
        found = object.__new__(type(self))
        found.__dict__.update((name, each) for name, each in vars(self).items() if name != "rng")
        return found

    @cached_property
    def seed(self) -> int:
        """Seed of the initialisation, in [0, 2^31); even in the search, odd in a confirmation.

        Made for libraries that take one integer (``random_state``, ``torch.manual_seed``). When
        ``"init"`` is frozen it is the same for all instances of both phases.
        """
        bits = int(self._seed_sequence("init").generate_state(1)[0]) >> 2
        return 2 * bits + (self.phase == "confirmation" and "init" in self.vary)

    @cached_property
    def order_seed(self) -> int:
        """Seed of the order stream, in [0, 2^63), for generators that take an integer."""
        state = self._seed_sequence("order").generate_state(1, np.uint64)[0]
        return int(state >> np.uint64(1))

    @cached_property
    def rng(self) -> np.random.Generator:
        """NumPy generator of the order stream, for shuffling, augmentation, dropout masks.

        One object an instance: its state moves on as it is used.
        """
        return np.random.default_rng(self._seed_sequence("order"))

    def torch_generator(self, device: str | torch.device = "cpu") -> torch.Generator:
        """Return a new PyTorch generator of the order stream, as for ``DataLoader(generator=)``.

        Args:
            device:
                Where the generator lives.
        """
        import torch  # noqa: PLC0415

        return torch.Generator(device=device).manual_seed(self.order_seed)

    def sample(
        self, n_population: int, size: int, *, replace: bool = False
    ) -> npt.NDArray[np.int64]:
        """Return the rows of this instance's training sample.

        The same call gives the same rows, for every model. Without replacement a smaller sample
        is the beginning of a larger one, so that studies of the sample size are paired.

        Args:
            n_population:
                Number of rows to draw from.
            size:
                Number of rows to draw.
            replace:
                Whether a row can be drawn more than once.

        Returns:
            Row indices in random order, shape ``(size,)``.

        Raises:
            ValueError: If ``size`` is larger than the population and ``replace`` is False, or
                either is less than 1.

        Example:
            >>> from optuna_robust import Instance
            >>> rows = Instance(3).sample(60_000, 8_000)
            >>> bool((rows[:100] == Instance(3).sample(60_000, 100)).all())
            True
        """
        check_count("n_population", n_population, minimum=1)
        check_count("size", size, minimum=1)
        if size > n_population and not replace:
            raise ValueError(
                f"size={size} is larger than n_population={n_population}; "
                "draw fewer rows, or use replace=True."
            )
        rng = np.random.default_rng(self._seed_sequence("sample"))
        if replace:
            return rng.integers(n_population, size=size)
        return rng.permutation(n_population)[:size]

    def bootstrap(self, n_population: int, size: int | None = None) -> npt.NDArray[np.int64]:
        """Return the rows of a bootstrap sample: drawn with replacement (Efron 1979).

        Args:
            n_population:
                Number of rows to draw from.
            size:
                Number of rows to draw; default: as many as there are.

        Returns:
            Row indices, shape ``(size,)``; the same call gives the same rows.

        Raises:
            ValueError: If a number is less than 1.
        """
        return self.sample(n_population, n_population if size is None else size, replace=True)

    def _seed_sequence(self, source: Source) -> np.random.SeedSequence:
        stream = SOURCES.index(source)
        if source in self.vary:
            key: tuple[int, ...] = (_VARYING, stream, _PHASES.index(self.phase), self.number)
            if self.model is not None:
                key = (*key, self.model)
        else:
            key = (_FROZEN, stream)
        return np.random.SeedSequence(self.study_seed, spawn_key=key)


@lru_cache(maxsize=10_000)
def shared_instance(
    number: int,
    study_seed: int,
    vary: tuple[Source, ...],
    model: int | None = None,
    phase: Phase = "search",
) -> Instance:
    """Return an instance that is made once: its seeds take longer than many look-ups.

    Objectives get it :meth:`Instance.fresh`.
    """
    return Instance(number, study_seed, phase, vary, model)


def check_n_instances(n_instances: object) -> int:
    """Return the number of instances of a model.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is less than 1 or so large that confirmations would use the same numbers.
    """
    count = check_count("n_instances", n_instances, minimum=1)
    if count > FIRST_CONFIRMATION:
        raise ValueError(f"n_instances must be at most {FIRST_CONFIRMATION}, but was {count}.")
    return count


def check_sources(vary: Iterable[str]) -> tuple[Source, ...]:
    """Return the sources of variation in their usual order.

    Raises:
        ValueError: If one is unknown.
        TypeError: If it is no sequence, or a plain string.
    """
    if isinstance(vary, str) or not isinstance(vary, Iterable):
        raise TypeError(f"vary must be a sequence of names such as ('init',), but was {vary!r}.")
    chosen: tuple[Any, ...] = tuple(vary)
    unknown = [source for source in chosen if not isinstance(source, str) or source not in SOURCES]
    if unknown:
        raise ValueError(
            f"vary={chosen!r} names the unknown source {min(map(str, unknown))!r}; "
            f"choose from {', '.join(SOURCES)}."
        )
    return tuple(source for source in SOURCES if source in chosen)
