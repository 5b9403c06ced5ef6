"""Search as done today, one training a model, against the robust search at equal cost."""
