"""The measurements: ``python -m benchmarks --help``."""
