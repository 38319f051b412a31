"""Resume, finish and close loggers."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from paribus.loggers.tensorboard import TensorBoard


def resume_logger(logger: Logger, epoch: int) -> None:
    """Make TensorBoard ignore what older event files hold after `epoch`; call before a run resumes."""
    if isinstance(logger, TensorBoard):
        logger._kwargs["purge_step"] = epoch + 1


def finish_logger(
    logger: Logger, hyperparameters: Mapping[str, Any], statistics: Mapping[str, float | int | None]
) -> None:
    """Log a run's hyper-parameters and, as summary/..., its statistics at its end."""
    metrics = {f"summary/{name}": float(value) for name, value in statistics.items() if value is not None}
    # TensorBoard's table hides runs if a value is None in one run and a number in another.
    plain = {name: _to_scalar(value) for name, value in hyperparameters.items() if value is not None}
    logger.log_metrics(metrics, step=int(statistics["epochs"] or 0))
    if isinstance(logger, TensorBoard):
        logger.log_hyperparams(plain, metrics)
    else:
        logger.log_hyperparams(plain)


def close_logger(logger: Logger) -> None:
    """Close a logger's process-wide state: else the next run of a multirun would log into the same W&B run."""
    if isinstance(logger, WandbLogger):
        logger.experiment.finish()


def _to_scalar(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)
