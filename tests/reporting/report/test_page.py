from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
import shutil
import subprocess
import sys
import threading

import optuna
from optuna.trial import create_trial
import pytest

import optuna_robust as opr
from optuna_robust._reporting.summary import study_report
from optuna_robust.report import html_report
from optuna_robust.report import write_html
from tests.reporting.report.pages import Page
from tests.searches import HOSTILE
from tests.searches import robust_study


FIGURES = [
    "instance-losses",
    "level-spread",
    "selection-path",
    "trainings",
    "optimism",
    "criteria",
    "instance-effect",
    "learning-curves",
    "rank-correlation",
    "top-overlap",
]


def test_a_report_tells_all_of_a_study() -> None:
    study = robust_study()
    page = Page(html_report(study))
    best = study.best_trial
    assert f"The best {study_size(study)} of {study_size(study)} complete trials" in page.text
    assert f"{best.number} {best.value:.5g}" in page.text
    assert "Confirmation on fresh instances" in page.text
    assert "Q3 + IQR of 8 fresh instances (smaller is better), intervals of 95 %" in page.text
    assert "As the best of 2, this value is again slightly optimistic." in page.text
    assert "Take trial " in page.text
    n_trained = sum(len(trial.user_attrs["robust:losses"]) for trial in study.trials)
    assert f"instances trained {n_trained} " in page.text
    spared = 6 * len(study.trials) - n_trained
    assert f"since trials were stopped {spared} (" in page.text
    assert "confirmation: instances trained 16" in page.text
    assert "is unbiased over instances (seeds and training samples) only" in page.text
    assert "The best of 2 by confirmed value is again slightly optimistic" in page.text
    assert "seed 0" in page.text
    assert f"optuna {optuna.__version__}" in page.text
    assert f"optuna-robust {opr.__version__}" in page.text


def study_size(study: optuna.Study) -> int:
    return sum(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials)


def test_every_figure_has_its_data_and_what_to_look_for() -> None:
    page = Page(html_report(robust_study()))
    places = [attrs["id"] for tag, attrs in page.tags if attrs.get("class") == "plot"]
    assert places == [f"robust-{name}" for name in FIGURES]
    assert sorted(page.data) == sorted(f"{place}-data" for place in places)
    assert all(page.json(f"{place}-data")["data"] for place in places)
    assert [tag for tag, _ in page.tags].count("figcaption") == len(FIGURES)


def test_learning_curves_come_from_the_store() -> None:
    store = opr.InstanceStore()
    page = Page(html_report(robust_study(store=store), store=store))
    assert {"robust-learning-curves-data", "robust-rank-correlation-data"} <= set(page.data)


def test_nothing_is_loaded_and_only_our_scripts_run() -> None:
    html = html_report(robust_study())
    page = Page(html)
    for tag, attrs in page.tags:
        assert tag not in {"a", "base", "embed", "iframe", "img", "link", "object"}
        assert not {"src", "href", "action", "srcset", "style"} & set(attrs)
    assert len(page.scripts) == 2
    assert "plotly.js" in page.scripts[0][:300]
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in page.scripts
    ]
    assert f"script-src {' '.join(hashes)};" in page.policy()
    assert page.policy().startswith("default-src 'none';")
    assert "\r" not in html


def test_hostile_text_is_shown_and_does_nothing() -> None:
    honest = Page(html_report(robust_study()))
    study = robust_study(name=HOSTILE, hostile=HOSTILE)
    study.set_user_attr(
        "robust:settings", {**study.user_attrs["robust:settings"], HOSTILE: HOSTILE}
    )
    study.set_metric_names([HOSTILE])
    html = html_report(study)
    page = Page(html)
    assert "<img" not in html
    assert "alert(1)</script>" not in html
    assert len(page.scripts) == 2
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in honest.tags}
    assert all(set(attrs) <= set().union(*(a for _, a in honest.tags)) for _, attrs in page.tags)
    assert f"{HOSTILE}=" in page.text
    assert f"{HOSTILE} {HOSTILE}" in page.text  # the setting
    assert all(page.json(name)["data"] for name in page.data)
    title = page.text[: len(HOSTILE)]
    assert title == HOSTILE


def test_figures_show_hostile_text_as_it_is() -> None:
    """What plotly would take for markup is escaped in the figures' texts."""
    study = robust_study(hostile="<a href='https://a.b'>x</a><b>")
    page = Page(html_report(study))
    for name, data in page.data.items():
        assert "\\u003ca " not in data, name
        assert "<a " not in str(page.json(name)), name


def test_a_report_of_a_study_without_instances() -> None:
    study = optuna.create_study(study_name="ordinary", direction="maximize")
    page = Page(html_report(study))
    assert "No trial is complete yet" in page.text
    assert not page.scripts
    assert "script-src 'none'" in page.policy()
    study.add_trial(create_trial(value=float("inf")))
    study.add_trial(create_trial(value=0.25))
    page = Page(html_report(study))
    assert "The best 2 of 2 complete trials" in page.text
    assert "0 inf 1 0.25" in page.text.replace(" - ", " ")
    assert "may have been lucky" in page.text
    assert "Nothing here was confirmed" in page.text


def test_a_report_of_a_pareto_front() -> None:
    study = optuna.create_study(
        directions=["minimize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=0)
    )

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        return trial.suggest_float("x", -1, 1) ** 2 + float(instance.rng.normal())

    returns = opr.MultiInstanceObjective(objective, n_instances=3, returns=("median", "iqr"))
    study.optimize(returns, n_trials=5)
    page = Page(html_report(study, n_trials=1))
    n_best = len(study.best_trials)
    assert f"Pareto front, 1 of {n_best} trial" in page.text
    assert "median, smaller is better; IQR, smaller is better" in page.text
    assert "robust-level-spread-data" in page.data


def test_a_confirmation_that_cannot_be_read_is_told_of() -> None:
    study = robust_study(confirmed=False, n_trials=6)
    study.set_user_attr("robust:confirmation", {"format": "of the future"})
    assert "The study's confirmation cannot be read" in Page(html_report(study)).text


def test_a_spread_is_positive_in_a_study_that_maximises() -> None:
    study = robust_study(confirmed=False, n_trials=6, direction="maximize")
    named = study_report(study, n_trials=1).settings | {"criterion": ["std"]}
    study.set_user_attr("robust:settings", named)
    study.add_trial(create_trial(value=-0.5, user_attrs={"robust:losses": [1.0, 2.0]}))
    text = Page(html_report(study)).text
    assert "Robust search with Optuna: std, smaller is better" in text
    assert " 6 0.5 " in text
    assert "-0.5 " not in text


def test_missing_intervals_are_explained() -> None:
    study = robust_study(confirmed=False, n_trials=6)
    opr.confirm(
        study,
        lambda trial, instance: trial.suggest_float("x", -1, 1) + float(instance.rng.normal()),
        n_models=1,
        n_instances=8,
        criterion="max",
    )
    text = Page(html_report(study)).text
    assert "Where worst has no interval, none is valid" in text
    assert "by confirmed value is again" not in text  # of one model


def test_failures_that_were_dropped_are_told_of() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        if instance.number == 1:
            raise FloatingPointError
        return trial.suggest_float("x", -1, 1) + float(instance.rng.normal())

    study.optimize(opr.MultiInstanceObjective(objective, 4, on_failure="drop"), n_trials=3)
    text = Page(html_report(study)).text
    assert "which favours models that fail: the table of the best, and study.best_trial," in text
    assert "instances that failed 3 of these 3 with FloatingPointError" in text


def test_the_most_frequent_reasons_of_failures_are_told() -> None:
    study = optuna.create_study()
    study.set_user_attr("robust:settings", {"n_instances": 9, "criterion": ["mean"]})
    reasons = ["b", "a", "a", HOSTILE, HOSTILE, HOSTILE, "c", "c" * 300, "c" * 300]
    failures = {str(number): reason for number, reason in enumerate(reasons)}
    attrs = {"robust:losses": ["worst"] * 9, "robust:failures": failures}
    study.add_trial(create_trial(state=optuna.trial.TrialState.PRUNED, user_attrs=attrs))
    html = html_report(study)
    text = Page(html).text
    told = f"of these 3 with {HOSTILE} of these 2 with a of these 2 with {'c' * 200}…"
    assert f"instances that failed 9 {told} time of" in text
    assert "<img" not in html


def test_a_file_is_written_as_it_is(tmp_path: Path) -> None:
    study = robust_study(name="Größe 学習", confirmed=False, n_trials=6)
    write_html(study, tmp_path / "report.html", n_trials=2)
    written = (tmp_path / "report.html").read_bytes()
    assert b"\r" not in written
    assert "<h1>Größe 学習</h1>" in written.decode()
    with pytest.raises(ValueError, match="n_trials must be at least 0"):
        write_html(study, tmp_path / "report.html", n_trials=-1)
    assert (tmp_path / "report.html").read_bytes() == written


def test_a_file_that_is_there_is_replaced_whole(tmp_path: Path) -> None:
    """What somebody reads of the old one meanwhile stays what it was."""
    study = robust_study(confirmed=False, n_trials=6)
    write_html(study, tmp_path / "report.html", n_trials=1)
    (tmp_path / "read.html").hardlink_to(tmp_path / "report.html")
    before = (tmp_path / "read.html").read_bytes()
    write_html(study, tmp_path / "report.html", n_trials=2)
    assert (tmp_path / "read.html").read_bytes() == before
    assert (tmp_path / "report.html").read_bytes() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["read.html", "report.html"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are Unix's")
def test_what_is_no_file_stays_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.daemon = True
    reader.start()
    write_html(optuna.create_study(), tmp_path / "pipe")
    reader.join(timeout=60)
    assert found[0].startswith(b"<!DOCTYPE html>")
    assert (tmp_path / "pipe").is_fifo()


def test_a_source_tree_that_is_not_installed_makes_reports(tmp_path: Path) -> None:
    package = Path(opr.__file__).parent
    shutil.copytree(package, tmp_path / "tree" / package.name)
    code = (
        "from importlib import metadata\n"
        "found = metadata.Distribution.discover\n"
        "metadata.Distribution.discover = lambda **options: iter(()) if options.get('name') == "
        "'optuna-robust' else found(**options)\n"
        "import optuna\n"
        "from optuna_robust.report import html_report\n"
        "print('optuna-robust ' in html_report(optuna.create_study()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path / "tree",
    )
    assert done.stdout == "True\n"
