"""Short fingerprints of code and data, which tell whether results may be put together."""

from __future__ import annotations

from collections.abc import Iterable
import hashlib
from importlib.util import find_spec
from pathlib import Path


def of_code(*modules: str) -> str:
    """Return the fingerprint of modules, and of packages with all that is in them."""
    sources: list[Path] = []
    for name in modules:
        found = find_spec(name)
        assert found is not None
        assert found.origin is not None
        origin = Path(found.origin)
        sources += origin.parent.rglob("*.py") if origin.name == "__init__.py" else [origin]
    return of_files(sources)


def of_files(files: Iterable[Path]) -> str:
    """Return the fingerprint of files."""
    digest = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]
