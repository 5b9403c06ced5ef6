"""Statistics of losses: criteria, comparisons, elimination rules. Nothing here knows Optuna."""
