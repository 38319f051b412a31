"""Seed what draws from the global generators: loaders, modules and data sets that are none of Paribus' own."""

from typing import Any

import lightning
from lightning import Trainer

from paribus.private_names import renew_iterator
from paribus.randomness import seed_globally


class EpochSeeds(lightning.Callback):
    """Restart all random numbers with every epoch, so that a resumed run draws those of an uninterrupted one."""

    def __init__(self, seed: int):
        self.seed = seed
        self._resumed = False

    def on_fit_start(self, trainer: Trainer, module: lightning.LightningModule) -> None:
        seed_globally(self.seed, "training", trainer.current_epoch)  # for the iterator of the first epoch

    def on_load_checkpoint(self, trainer: Trainer, module: lightning.LightningModule, checkpoint: Any) -> None:
        self._resumed = True

    def on_train_epoch_start(self, trainer: Trainer, module: lightning.LightningModule) -> None:
        seed_globally(self.seed, "training", trainer.current_epoch)
        if self._resumed:
            self._renew_after(module, trainer)
            self._resumed = False

    def _renew_after(self, module: lightning.LightningModule, trainer: Trainer) -> None:
        """Have the loader start anew after the module's own on_train_epoch_start, as in later epochs."""
        own = module.on_train_epoch_start

        def on_train_epoch_start() -> None:
            del module.on_train_epoch_start
            own()
            renew_iterator(trainer)

        module.on_train_epoch_start = on_train_epoch_start  # type: ignore[method-assign]
