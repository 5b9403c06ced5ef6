#!/usr/bin/env bash
# Optuna 5.0.0: workers that start together on a new database do not all get their study.
#
# `create_study(storage=..., load_if_exists=True)` is the documented way for many processes to
# share one study, and reads as if it did not matter which of them comes first. On an SQLite file
# that does not exist yet, four processes that call it at the same moment each create the tables
# themselves; most of them end with an error of the database ("table ... already exists", or a
# UNIQUE constraint), not with the study. Once the tables are there, all four get it. So: create
# the study once, then start the workers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet optuna==5.0.0

cat >"$folder/worker.py" <<'PYTHON'
import sys
import time

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))  # all at the same moment
optuna.create_study(storage=sys.argv[1], study_name="shared", load_if_exists=True)
PYTHON

cat >"$folder/start.py" <<'PYTHON'
import subprocess
import sys
import time

folder = sys.argv[1]


def failures(url):
    """Return the kinds of errors of four workers that start at the same moment."""
    moment = str(time.time() + 5)
    workers = [
        subprocess.Popen(
            [sys.executable, f"{folder}/worker.py", url, moment],
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    found = []
    for worker in workers:
        errors = worker.communicate()[1]
        if worker.returncode:
            found.append(next(line for line in errors.splitlines() if "sqlite3." in line))
    return found


urls = [f"sqlite:///{folder}/{number}.db" for number in range(5)]
new = [error for url in urls for error in failures(url)]
existing = [error for url in urls[:2] for error in failures(url)]
print(f"new database: {len(new)} of 20 workers failed, for example: {new[:1]}")
print(f"existing tables: {len(existing)} of 8 workers failed")
assert new, "all workers got the study on a new database: the behaviour has changed"
assert not existing, existing
PYTHON
"$folder/venv/bin/python" "$folder/start.py" "$folder"
