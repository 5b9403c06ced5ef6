"""Instances that are all the same: what users are told of them."""

from __future__ import annotations

from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.criteria import identical


# Identical losses are told after so many: with fewer, coarse metrics coincide by chance.
_ENOUGH = 5


def identical_losses_message(
    losses: FloatArray, subject: str, n_instances: int, sign: int
) -> str | None:
    """Return a warning if all instances of a model have the same loss, with the likely cause.

    Args:
        losses:
            Losses of one model, shape ``(n,)``, to be minimised.
        subject:
            Whose they are.
        n_instances:
            How many a model can have.
        sign:
            -1 if losses were turned round to be minimised, else 1.
    """
    if len(losses) < min(_ENOUGH, n_instances) or losses[0] != losses[-1]:
        return None
    if not bool(identical(losses)):
        return None
    return (
        f"All {len(losses)} instances of {subject} have the same loss ({sign * losses[0]:g}). The "
        "objective seems to fix its own seed (random_state=0, torch.manual_seed(0), …) or not to "
        "use the instance, unless this model always ends at the same guess, or vary freezes what "
        "makes instances differ. LightGBM, XGBoost and CatBoost fix their seed if they are given "
        "none: take the parameter 'instance', and pass random_state=instance.seed. The spread is "
        "unknown, whatever the criterion makes of it."
    )
