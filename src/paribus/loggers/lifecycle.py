"""Resume, finish and close loggers."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from paribus.loggers.tensorboard import TensorBoard


def resume_logger(logger: Logger, epoch: int) -> None:
    """Before a run goes on: have TensorBoard drop what older event files hold of later epochs."""
    if isinstance(logger, TensorBoard):
        logger.purge_step = epoch + 1


def finish_logger(
    logger: Logger, hyperparameters: Mapping[str, Any], statistics: Mapping[str, float | int | None]
) -> None:
    """Tell a logger, at the end of a run, what it was and what came of it (as summary/...)."""
    metrics = {f"summary/{name}": float(value) for name, value in statistics.items() if value is not None}
    # A value that is None in one run and a number in another would hide runs in TensorBoard's table.
    plain = {name: _to_scalar(value) for name, value in hyperparameters.items() if value is not None}
    logger.log_metrics(metrics, step=int(statistics["epochs"] or 0))
    if isinstance(logger, TensorBoard):
        logger.log_hyperparams(plain, metrics)
    else:
        logger.log_hyperparams(plain)


def close_logger(logger: Logger) -> None:
    """End what a logger keeps open for the process: the next run of a multirun would go on in the same W&B run."""
    if isinstance(logger, WandbLogger):
        logger.experiment.finish()


def _to_scalar(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)
