"""Resume, finish and close loggers."""

from collections.abc import Collection, Mapping

from lightning.pytorch.loggers import Logger, WandbLogger

from paribus.loggers.events import SUMMARY, put_last
from paribus.loggers.hyperparameters import Hyperparameters
from paribus.loggers.tensorboard import TensorBoard


def resume_logger(logger: Logger, epoch: int) -> None:
    """Make TensorBoard ignore what older event files hold after `epoch`; call before a run resumes."""
    if isinstance(logger, TensorBoard):
        logger.purge_step = epoch + 1


def log_scalars(logger: Logger, scalars: Mapping[str, float], step: int, first: Collection[str]) -> None:
    """Log scalars by name; TensorBoard shows those named in `first` before the others."""
    if isinstance(logger, TensorBoard):
        scalars = {name if name in first else put_last(name): value for name, value in scalars.items()}
    logger.log_metrics(dict(scalars), step=step)


def finish_logger(
    logger: Logger, hyperparameters: Hyperparameters, status: str, statistics: Mapping[str, float | int | None]
) -> None:
    """Log a run's hyperparameters with its status and, as summary/..., its statistics at its end."""
    metrics = {f"{SUMMARY}/{name}": float(value) for name, value in statistics.items() if value is not None}
    log_scalars(logger, metrics, int(statistics["epochs"] or 0), first=())
    if isinstance(logger, TensorBoard):
        shown = hyperparameters.values if logger.in_study else hyperparameters.choose()
        logger.log_hyperparams({**shown, "status": status})
    else:
        logger.log_hyperparams({**hyperparameters.values, "status": status})


def close_logger(logger: Logger) -> None:
    """Close a logger's process-wide state: else the next run of a multirun would log into the same W&B run."""
    if isinstance(logger, WandbLogger):
        logger.experiment.finish()
