"""The page: a study's report as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
import uuid

from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from optuna_robust._base.arguments import check_count
from optuna_robust._base.output_files import check_writable
from optuna_robust._reporting.main_figures import MainFigure
from optuna_robust._reporting.main_figures import report_figures
from optuna_robust._reporting.report._html import bullets
from optuna_robust._reporting.report._html import data_script
from optuna_robust._reporting.report._html import escaped
from optuna_robust._reporting.report._html import paragraph
from optuna_robust._reporting.report._html import script_hash
from optuna_robust._reporting.report._html import table
from optuna_robust._reporting.report._look import DRAW
from optuna_robust._reporting.report._look import STYLE
from optuna_robust._reporting.report._sections import caveats
from optuna_robust._reporting.report._sections import costs
from optuna_robust._reporting.report._sections import in_short
from optuna_robust._reporting.report._sections import origins
from optuna_robust._reporting.summary import best_heading
from optuna_robust._reporting.summary import best_trials
from optuna_robust._reporting.summary import confirmation_parts
from optuna_robust._reporting.summary import detectable_difference
from optuna_robust._reporting.summary import study_failures
from optuna_robust._reporting.summary import study_report
from optuna_robust._reporting.summary import StudyReport
from optuna_robust._reporting.summary import unreadable


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._running.store import InstanceStore


def write_html(
    study: Study, path: str | Path, *, n_trials: int = 10, store: InstanceStore | None = None
) -> None:
    """Write a study's report to an HTML file; one that is there is replaced.

    Args:
        study:
            Any study.
        path:
            The file.
        n_trials:
            Number of the best trials to report.
        store:
            The :class:`~optuna_robust.InstanceStore` that the search was run with, to show
            learning curves. Default: those that the trials keep.

    Raises:
        OSError: If the file cannot be written.
        TypeError: If ``n_trials`` is not an integer.
        ValueError: If it is negative.
    """
    check_writable(path)
    # As bytes: a line that ends otherwise would change a script, and the browser refuse it.
    _write(Path(path).resolve(), html_report(study, n_trials=n_trials, store=store).encode())


def html_report(study: Study, *, n_trials: int = 10, store: InstanceStore | None = None) -> str:
    """Return a study's report as HTML, with everything in it: it opens without a network.

    It has the best trials, the confirmation, the figures with what to look for in them, what all
    of it cost, and what the numbers do not say.

    Example:
        >>> import optuna
        >>> import optuna_robust as opr
        >>> from optuna_robust.report import html_report
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def objective(trial, instance):
        ...     x = trial.suggest_float("x", -1, 1)
        ...     return x**2 + (0.1 + abs(x)) * instance.rng.normal()
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(opr.MultiInstanceObjective(objective, n_instances=4), n_trials=4)
        >>> html_report(study).startswith("<!DOCTYPE html>")
        True

    Args:
        study:
            Any study.
        n_trials:
            Number of the best trials to report.
        store:
            The :class:`~optuna_robust.InstanceStore` that the search was run with, to show
            learning curves. Default: those that the trials keep.

    Raises:
        TypeError: If ``n_trials`` is not an integer.
        ValueError: If it is negative.
    """
    n_trials = check_count("n_trials", n_trials, minimum=0)
    found = study_report(study, n_trials=n_trials)
    figures = report_figures(study, found, store)
    scripts = [get_plotlyjs(), DRAW] if figures else []
    body = [
        f"<h1>{escaped(found.study)}</h1>",
        f'<p class="under">{escaped(_under_title(found))}</p>',
        _short(found),
        _best(found),
        _confirmation(found),
        _figures(figures),
        f"<h2>What it cost</h2>\n{table(costs(found))}",
        paragraph(study_failures(found)) if found.is_robust else "",
        f"<h2>What the numbers do not say</h2>\n{bullets(caveats(found))}",
        f"<h2>Settings, seeds and versions</h2>\n{table(origins(found, study))}",
        *(f"<script>{script}</script>" for script in scripts),
    ]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escaped(found.study)}</title>
<style>{STYLE}</style>
</head>
<body>
{chr(10).join(filter(None, body))}
</body>
</html>
"""


def _write(target: Path, content: bytes) -> None:
    """Write a file whole or not at all: a server may be showing the one that is there."""
    if target.exists() and not target.is_file():  # such as /dev/stdout
        target.write_bytes(content)
        return
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _policy(scripts: list[str]) -> str:
    """Return what the page may do: run its own scripts, and load nothing from anywhere."""
    allowed = " ".join(map(script_hash, scripts)) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"
    )


def _under_title(found: StudyReport) -> str:
    kind = "Robust search" if found.is_robust else "Search"
    return f"{kind} with Optuna: {'; '.join(found.heads)}"


def _short(found: StudyReport) -> str:
    told = in_short(found)
    return f'<div class="short">{"".join(map(paragraph, told))}</div>' if told else ""


def _best(found: StudyReport) -> str:
    heading = best_heading(found).rstrip(":.")
    if not heading:
        return ""
    parts = [f"<h2>{escaped(heading)}</h2>"]
    if found.best:
        parts.append(table(best_trials(found)))
        if found.is_robust:
            parts.append(
                paragraph(
                    "Median and interquartile range (IQR) are those of the losses of a trial's "
                    "instances."
                )
            )
        if found.detectable is not None:
            parts.append(paragraph(detectable_difference(found)))
    return "\n".join(parts)


def _confirmation(found: StudyReport) -> str:
    if found.unreadable is not None:
        return f"<h2>Confirmation</h2>\n{paragraph(unreadable(found))}"
    if found.confirmation is None:
        return ""
    parts = [
        paragraph(part) if isinstance(part, str) else table(part)
        for part in confirmation_parts(found.confirmation, found.searched_by, found.loss_name)
    ]
    return "\n".join(["<h2>Confirmation on fresh instances</h2>", *parts])


def _figures(figures: list[MainFigure]) -> str:
    if not figures:
        return ""
    shown = [
        f'<figure>\n<div class="plot" id="{each.name}"></div>\n'
        f"<figcaption>{escaped(' '.join(each.hints))}</figcaption>\n"
        f"{data_script(f'{each.name}-data', str(each.figure.to_json()))}\n</figure>"
        for each in figures
    ]
    return "\n".join(["<h2>Figures</h2>", *shown])
