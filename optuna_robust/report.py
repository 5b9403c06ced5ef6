"""A study's report as one HTML file that opens anywhere, without a network."""

from optuna_robust._reporting.report import html_report
from optuna_robust._reporting.report import write_html


__all__ = [
    "html_report",
    "write_html",
]
