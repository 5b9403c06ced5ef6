"""``python -m optuna_robust.cli``: the same as ``optuna-robust``."""

from __future__ import annotations

from optuna_robust.cli import main


if __name__ == "__main__":
    main()
