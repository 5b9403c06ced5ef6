"""What users call: the objective, the pruner, the sampler, the selection, the confirmation."""
