"""Resume the schedules that watch a metric."""

from typing import Any

import lightning
from lightning import Trainer


class PlateauSteps(lightning.Callback):
    """Let ReduceLROnPlateau make the step that comes after the checkpoint of an epoch.

    Lightning makes it at the very end of an epoch, and leaves it out where a run is resumed: it keeps no metrics.
    """

    def __init__(self) -> None:
        self._values: list[float | None] = []

    def on_save_checkpoint(
        self, trainer: Trainer, module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        progress: Any = trainer.fit_loop.epoch_progress.current
        if module.automatic_optimization and progress.processed > progress.completed:
            checkpoint["plateaus"] = [self._read(trainer, config) for config in trainer.lr_scheduler_configs]

    def _read(self, trainer: Trainer, config: Any) -> float | None:
        """Return the value that the schedule will see at the end of this epoch; None where it sees none."""
        due = config.interval == "epoch" and (trainer.current_epoch + 1) % config.frequency == 0
        value = trainer.callback_metrics.get(config.monitor) if config.reduce_on_plateau and due else None
        return None if value is None else float(value)

    def on_load_checkpoint(
        self, trainer: Trainer, module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._values = checkpoint.get("plateaus", [])

    def on_train_start(self, trainer: Trainer, module: lightning.LightningModule) -> None:
        for config, value in zip(trainer.lr_scheduler_configs, self._values, strict=False):
            if value is not None:
                config.scheduler.step(value)  # type: ignore[arg-type]
