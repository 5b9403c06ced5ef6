"""The command ``python -m benchmarks faults``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
import json
from pathlib import Path
import random
import tempfile
from typing import NamedTuple

from tqdm import tqdm

from benchmarks.faults.counting import Count
from benchmarks.faults.counting import count
from benchmarks.faults.driver import Run
from benchmarks.faults.objective import MISDEEDS
from benchmarks.faults.outside import Disturbed
from benchmarks.faults.outside import NotInjectedError
from benchmarks.faults.outside import OUTSIDE
from benchmarks.faults.outside import PATIENCE
from benchmarks.faults.outside import small_disk
from benchmarks.options import at_least
from benchmarks.processes import run_in_processes
from benchmarks.servers import PostgreSQL
from benchmarks.servers import ServerMissingError
from benchmarks.text_tables import markdown_table


_CLOCK = "clock jumps a day"
KINDS = (*OUTSIDE, *MISDEEDS, _CLOCK)
# A search has no workers; what is done to its store is done to a selection's.
_OF_A_SEARCH = ("driver killed", "SIGTERM", "Ctrl-C", "server killed", "os._exit", _CLOCK)
_ATTEMPTS = 10


class Injection(NamedTuple):
    """One fault.

    Args:
        kind:
            One of the ``KINDS``.
        run:
            ``"selection"``, or ``"search"`` with a study on SQLite or in a journal.
        seed:
            When it comes is drawn from it.
    """

    kind: str
    run: str
    seed: int


class Outcome(NamedTuple):
    """What came of a fault.

    Args:
        counted:
            None if there was no fault, or the run did not come to its end.
        missing:
            Why there was no fault.
        error:
            Why the run did not come to its end.
    """

    counted: Count | None
    missing: str = ""
    error: str = ""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "faults",
        help="kills, full disks, hanging objectives: is anything lost, or trained twice?",
        description=(
            "Selections with two workers and robust searches, each disturbed by a fault, and "
            "started again until it ends. What was trained is counted from a log that the "
            "objective writes. Exit status 1 if anything was lost, trained twice or decided "
            "otherwise than undisturbed."
        ),
    )
    parser.add_argument(
        "--times", type=at_least(1), default=20, metavar="N", help="of each kind; default: 20"
    )
    parser.add_argument("--only", nargs="+", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument(
        "--jobs", type=at_least(1), default=2, metavar="N", help="runs at a time; default: 2"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments; default: 0")
    parser.add_argument("--out", type=Path, help="folder for faults.md and faults.json")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, command: str) -> int:
    injections = [
        Injection(kind, run, args.seed + number)
        for number in range(args.times)
        for kind in args.only or KINDS
        for run in _runs_of(kind)
    ]
    outcomes: dict[Injection, Outcome] = {}
    with tqdm(total=len(injections), unit="faults", disable=None) as bar:
        for index, outcome in run_in_processes(inject, injections, n_jobs=args.jobs):
            outcomes[injections[index]] = outcome
            bar.update()
    text = f"`{command}`\n\n{table(outcomes)}\n\n{summary(outcomes)}\n"
    print(text)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "faults.md").write_text(text, encoding="utf-8")
        rows = [
            {**injection._asdict(), **outcome._asdict()} for injection, outcome in outcomes.items()
        ]
        (args.out / "faults.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return int(any(is_bad(outcome) for outcome in outcomes.values()))


def _runs_of(kind: str) -> Sequence[str]:
    return ("selection", "search", "search, journal") if kind in _OF_A_SEARCH else ("selection",)


def inject(injection: Injection) -> Outcome:
    """Disturb a run, and return what came of it."""
    for attempt in range(_ATTEMPTS):
        try:
            return _attempt(injection, random.Random(f"{injection} {attempt}"))
        except NotInjectedError:
            continue
        except (ServerMissingError, PermissionError) as error:
            return Outcome(None, missing=str(error))
        except Exception as error:  # whatever it is, it is the outcome
            return Outcome(None, error=f"{type(error).__name__}: {error}")
    return Outcome(None, missing="each run ended before the fault came")


def _attempt(injection: Injection, rng: random.Random) -> Outcome:
    kind = injection.kind
    server = PostgreSQL() if kind == "server killed" else None
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "disk").mkdir()
            with small_disk(folder) if kind == "disk full" else nullcontext():
                run = _run_of(injection, folder, server, rng)
                disturbed = Disturbed(run, folder, rng, server)
                OUTSIDE.get(kind, _start_again_once)(disturbed)
                deaths = disturbed.deaths | _deaths_of_misdeeds(run)
                return Outcome(count(run, deaths))
    finally:
        if server is not None:
            server.stop()


def _start_again_once(disturbed: Disturbed) -> None:
    """Have a run end; its objective may end the process once, where that is the driver's own."""
    driver = disturbed.begin()
    if disturbed.run.misdeed == "os._exit" and disturbed.run.kind == "search":
        driver.communicate(timeout=PATIENCE)
        disturbed.finish()
    else:
        disturbed.finish(driver)


def _deaths_of_misdeeds(run: Run) -> dict[int, float]:
    ends = run.misdeed in {"os._exit", "hangs", "leaks memory"}
    return {each.pid: each.at for each in run.objective.events() if each.kind == "fault" and ends}


def _run_of(
    injection: Injection, folder: Path, server: PostgreSQL | None, rng: random.Random
) -> Run:
    kind = injection.kind
    run = Run(
        kind="selection" if injection.run == "selection" else "search",
        store=f"sqlite:///{folder}/disk/store.db" if server is None else server.new_database(),
        study=f"sqlite:///{folder}/study.db",
        log=str(folder / "log"),
        decision=str(folder / "decision.json"),
        after=rng.randrange(1, 12),
    )
    if injection.run == "search, journal":
        run = replace(run, study=str(folder / "study.log"))
    if kind in MISDEEDS:
        run = replace(run, misdeed=kind)
    if kind == _CLOCK:
        run = replace(run, clock_jumps=rng.uniform(1.0, 3.0))
    return run


def is_bad(outcome: Outcome) -> bool:
    """Return True if something was lost, doubled, decided otherwise, or did not end."""
    found = outcome.counted
    return bool(outcome.error) or (
        found is not None and bool(found.lost or found.doubled or found.wrong)
    )


def table(outcomes: dict[Injection, Outcome]) -> str:
    """Return what came of each kind, as Markdown."""
    rows = []
    for kind, run in dict.fromkeys((each.kind, each.run) for each in outcomes):
        found = [
            outcome
            for each, outcome in outcomes.items()
            if (each.kind, each.run) == (kind, run) and not outcome.missing
        ]
        counts = [each.counted for each in found if each.counted is not None]
        rows.append(
            [
                kind,
                run,
                str(len(found)),
                str(sum(each.trained for each in counts)),
                str(sum(len(each.lost) for each in counts)),
                str(sum(len(each.doubled) for each in counts)),
                str(sum(bool(each.wrong) for each in counts)),
                str(len(found) - len(counts)),
            ]
        )
    head = [
        "fault",
        "run",
        "faults",
        "instances",
        "lost",
        "trained twice",
        "decided otherwise",
        "did not end",
    ]
    return markdown_table(head, rows)


def summary(outcomes: dict[Injection, Outcome]) -> str:
    """Return the sum in a sentence, what was left out, and what went wrong."""
    injected = [each for each in outcomes.values() if not each.missing]
    n_bad = sum(map(is_bad, injected))
    lines = [f"{len(injected)} faults, {n_bad} with a loss, a repetition or another decision."]
    left_out = {
        each.kind: outcome.missing for each, outcome in outcomes.items() if outcome.missing
    }
    lines += [f"Left out: {kind} ({why})." for kind, why in left_out.items()]
    lines += [
        f"{each.kind}, {each.run}, seed {each.seed}: {outcome.error or outcome.counted}"
        for each, outcome in outcomes.items()
        if is_bad(outcome)
    ]
    return "\n\n".join(lines)
