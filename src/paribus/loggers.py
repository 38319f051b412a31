"""What the loggers are told about a run, beside Lightning's own ways."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from tensorboard.compat.proto.summary_pb2 import Summary


class TensorBoard(TensorBoardLogger):
    """TensorBoard events directly in `save_dir`; the horizontal axis is the epoch.

    All scalars of a call go into one event; SummaryWriter.add_scalar would make one of each.
    """

    def __init__(self, save_dir: str | Path):
        super().__init__(save_dir, name="", version="", default_hp_metric=False)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self.experiment._get_file_writer().add_summary(Summary(value=values), step)

    def log_hyperparams(self, params: Mapping[str, Any], metrics: Mapping[str, Any] | None = None) -> None:  # type: ignore[override]
        """One entry in the HPARAMS tab: `params`, and the scalars named by `metrics` as the entry's results."""
        from torch.utils.tensorboard.summary import hparams

        writer = self.experiment._get_file_writer()
        for summary in hparams(dict(params), dict(metrics or {})):
            writer.add_summary(summary)

    def save(self) -> None:
        """No hparams.yaml: .hydra/ has the configuration."""


def finish(logger: Logger, hyperparameters: Mapping[str, Any], statistics: Mapping[str, float | int | None]) -> None:
    """Tell a logger, at the end of a run, what it was and what came of it (as summary/...)."""
    metrics = {f"summary/{name}": float(value) for name, value in statistics.items() if value is not None}
    # A value that is None in one run and a number in another would hide runs in TensorBoard's table.
    plain = {name: _scalar(value) for name, value in hyperparameters.items() if value is not None}
    logger.log_metrics(metrics, step=int(statistics["epochs"] or 0))
    if isinstance(logger, TensorBoard):
        logger.log_hyperparams(plain, metrics)
    else:
        logger.log_hyperparams(plain)


def close(logger: Logger) -> None:
    """End what a logger keeps open for the process: the next run of a multirun would go on in the same W&B run."""
    if isinstance(logger, WandbLogger):
        logger.experiment.finish()


def _scalar(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)
