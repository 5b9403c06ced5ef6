"""Files that results are written to: whether they can be, before the work is done."""

from __future__ import annotations

from pathlib import Path
import tempfile


def check_writable(path: str | Path) -> None:
    """Check that a file can be written.

    Args:
        path:
            The file; one that exists is replaced.

    Raises:
        OSError: If it cannot; the message says why.
    """
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no directory {str(folder)!r}")
    if Path(path).is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a directory")
    try:
        # Permissions do not tell: the file system may be read-only.
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(
            f"nothing can be written to the directory {str(folder)!r} ({error.strerror})"
        ) from None
