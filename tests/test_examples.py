"""The examples and the README's code run as they stand."""

from __future__ import annotations

from pathlib import Path
import re
import subprocess
import sys
import textwrap

import pytest


ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "```python" in path.read_text()
]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_to_its_end(path: Path) -> None:
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_the_documents_code_runs(path: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"^( *)```python\n(.*?)^\1```", path.read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    for _, block in blocks:
        code = textwrap.dedent(block)
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
