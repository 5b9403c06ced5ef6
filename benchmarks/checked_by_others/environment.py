"""Other packages, in an environment that is thrown away."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import Any
import venv


# What the tables in docs/checked-by-others.md were made with.
PACKAGES = {
    "limma": ("inmoose==0.9.1",),
    "rliable": ("rliable==1.2.0", "pandas==2.3.3"),  # its arch 7.2.0 fails with pandas 3
    "adastop": ("adastop==0.1.3",),
}
_SCRIPTS = Path(__file__).parent / "scripts"

Ask = Callable[[Any], Any]


@contextmanager
def installed(name: str) -> Iterator[Ask]:
    """Install a package, and give a function that asks its script.

    Args:
        name:
            One of ``PACKAGES``.

    Raises:
        subprocess.CalledProcessError: If pip or the script fails; their output says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python"
        print(f"installing {' '.join(PACKAGES[name])} ...", file=sys.stderr, flush=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES[name]], check=True)

        def ask(question: Any) -> Any:
            answer = subprocess.run(
                [python, _SCRIPTS / f"run_{name}.py"],
                input=json.dumps(question),
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            return json.loads(answer.stdout)

        yield ask
