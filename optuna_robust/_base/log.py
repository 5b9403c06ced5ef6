"""What is logged: through Optuna's logging, so that its verbosity and handlers apply."""

import optuna


# A child of Optuna's own logger, whose name others do not have.
logger = optuna.logging.get_logger("optuna.robust")
