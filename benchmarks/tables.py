"""Tables of measured losses, one row a model.

A CSV file with a header. Columns with a common prefix and a number hold the instances, in the
order of their numbers: accuracy_0, accuracy_1, ... or loss_1, loss_2, ... or, as the method's
authors publish them, ValAccuracy_1 ... ValAccuracy_20. All other columns are hyperparameters, and
may be used to choose rows. Every row needs all instances as finite numbers; a training that
diverged must stand there with a finite number, the worst possible.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import csv
from dataclasses import dataclass
from pathlib import Path
import re

import numpy as np

from optuna_robust._base.arrays import FloatArray


MAXIMIZED = ("accuracy", "valaccuracy", "testaccuracy", "acc", "auc", "f1", "score", "r2")
MINIMIZED = ("loss", "valloss", "testloss", "error", "valerror", "mae", "mse", "rmse")

_NUMBERED = re.compile(r"(?P<prefix>.*?)_?(?P<number>\d+)")
_MOST_NAMED = 5


class TableError(ValueError):
    """A table cannot be used; the message tells why."""


@dataclass(frozen=True)
class Table:
    """Losses that were measured.

    Attributes:
        name: What reports call it.
        losses: Oriented losses (smaller is better), shape ``(n_models, n_instances)``.
        columns: Prefix of the columns that hold them.
        direction: ``"maximize"`` if they were turned round, else ``"minimize"``.
        hyperparameters: Cells of the other columns, model by model, as text; what was measured
            of every instance beside the loss (``seconds_0`` ...) is not among them.
    """

    name: str
    losses: FloatArray
    columns: str
    direction: str
    hyperparameters: tuple[Mapping[str, str], ...] = ()


def read_table(
    path: Path,
    *,
    columns: str | None = None,
    direction: str | None = None,
    where: Mapping[str, str] | None = None,
) -> Table:
    """Read a table.

    Args:
        path:
            The CSV file.
        columns:
            Prefix of the instances' columns. Default: the known one that is there.
        direction:
            ``"maximize"`` or ``"minimize"``. Default: to maximise for a prefix known as an
            accuracy, else to minimise.
        where:
            Only rows with these values in these columns.

    Raises:
        TableError: If the table cannot be used.
    """
    where = where or {}
    header, rows = _read(path)
    prefix, numbered = _instance_columns(header, columns)
    unknown = sorted(set(where) - set(header))
    if unknown:
        raise TableError(
            f"{path} has no column {unknown[0]!r}; it has {', '.join(_others(header, numbered))}."
        )
    chosen = [
        (line, row)
        for line, row in rows
        if all(_same(row[header.index(column)], value) for column, value in where.items())
    ]
    filters = [f"{column}={value}" for column, value in where.items()]
    if len(chosen) < 2:
        rest = f" with {' and '.join(filters)}" if filters else ""
        raise TableError(
            f"{path} has {len(chosen)} row(s){rest}; a selection needs at least 2 models."
        )
    values = _numbers(path, chosen, header, numbered)
    direction = direction or ("maximize" if _key(prefix) in MAXIMIZED else "minimize")
    return Table(
        name=", ".join([path.stem, *filters]),
        losses=-values if direction == "maximize" else values,
        columns=prefix,
        direction=direction,
        hyperparameters=_hyperparameters(chosen, header, numbered),
    )


def _hyperparameters(
    rows: Sequence[tuple[int, Sequence[str]]], header: Sequence[str], instances: Sequence[str]
) -> tuple[Mapping[str, str], ...]:
    """Return the cells of columns that are not numbered as the instances are."""
    numbers: dict[str, set[int]] = {}
    for name in header:
        match = _NUMBERED.fullmatch(name)
        if match:
            numbers.setdefault(match["prefix"], set()).add(int(match["number"]))
    of_instances = {
        name
        for name in header
        if (match := _NUMBERED.fullmatch(name)) and len(numbers[match["prefix"]]) == len(instances)
    }
    kept = [(name, header.index(name)) for name in header if name not in of_instances]
    return tuple({name: row[position].strip() for name, position in kept} for _, row in rows)


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path} cannot be read: {error}") from None
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TableError(f"{path} has the column {twice[0]!r} more than once.")
    ragged = [str(line) for line, row in rows if len(row) != len(header)]
    if ragged:
        raise TableError(
            f"{path} has {len(header)} columns, but another number of cells in "
            f"line(s) {_some(ragged)}."
        )
    return header, rows


def _instance_columns(header: Sequence[str], prefix: str | None) -> tuple[str, list[str]]:
    """Return the prefix of the instances' columns, and these in order."""
    found: dict[str, dict[int, str]] = {}
    for name in header:
        match = _NUMBERED.fullmatch(name)
        if match:
            numbers = found.setdefault(match["prefix"], {})
            if int(match["number"]) in numbers:
                raise TableError(f"The columns {numbers[int(match['number'])]} and {name} clash.")
            numbers[int(match["number"])] = name
    if prefix is None:
        known = [each for each in found if _key(each) in (*MAXIMIZED, *MINIMIZED)]
        if len(known) != 1:
            there = f"there are {' and '.join(known)}" if known else "none is known"
            raise TableError(
                f"Name the columns that hold the instances with --columns: {there}; numbered "
                f"columns have the prefixes: {', '.join(found) or 'none'}."
            )
        prefix = known[0]
    prefix = prefix.removesuffix("_")
    if prefix not in found:
        raise TableError(
            f"There are no numbered columns {prefix}_…; the prefixes of numbered columns are: "
            f"{', '.join(found) or 'none'}."
        )
    numbers = found[prefix]
    missing = sorted(set(range(min(numbers), max(numbers))) - set(numbers))
    if missing:
        raise TableError(f"Of the columns {prefix}_… number(s) {_some(map(str, missing))} miss.")
    if len(numbers) < 2:
        raise TableError(f"There is one column {prefix}_…; a replay needs at least 2 instances.")
    return prefix, [numbers[number] for number in sorted(numbers)]


def _numbers(
    path: Path,
    rows: Sequence[tuple[int, Sequence[str]]],
    header: Sequence[str],
    columns: Sequence[str],
) -> FloatArray:
    positions = [header.index(column) for column in columns]
    values = np.array([[_number(row[position]) for position in positions] for _, row in rows])
    bad = ~np.isfinite(values)
    if bad.any():
        lines = [line for (line, _), is_bad in zip(rows, bad.any(axis=1), strict=True) if is_bad]
        model, instance = (int(index) for index in np.argwhere(bad)[0])
        raise TableError(
            f"{path} lacks losses of instances in line(s) {_some(map(str, lines))}: the first is "
            f"{columns[instance]} = {rows[model][1][positions[instance]]!r}. Every model needs "
            "all instances; for a training that diverged give a finite number."
        )
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _same(cell: str, value: str) -> bool:
    return cell.strip() == value or _number(cell) == _number(value)


def _key(prefix: str) -> str:
    return re.sub(r"[_\W]", "", prefix).lower()


def _others(header: Sequence[str], numbered: Sequence[str]) -> list[str]:
    return [name for name in header if name not in numbered]


def _some(names: Sequence[str] | map[str]) -> str:
    listed = list(names)
    more = len(listed) - _MOST_NAMED
    return ", ".join(listed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
