"""Statistics of this package beside those of other packages, each in an environment of its own."""

from benchmarks.checked_by_others.command import add_parser


__all__ = ["add_parser"]
