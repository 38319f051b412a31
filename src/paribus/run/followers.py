"""The callbacks of the ranks of a run: of all of them, and of those that follow rank 0."""

import signal
from typing import Any

import lightning
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint

from paribus.errors import Stopped
from paribus.private_names import skip_sigterm_broadcast
from paribus.training.evaluated import AverageShower
from paribus.training.learner import Learner
from paribus.training.stopping import share_metrics


class InStep(lightning.Callback):
    """Leave out Lightning's talk between the ranks about SIGTERM."""

    def on_train_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        skip_sigterm_broadcast(trainer)
        # Lightning's handler would broadcast out of turn; Lightning puts the old one back when it ends
        signal.signal(signal.SIGTERM, signal.default_int_handler if trainer.is_global_zero else signal.SIG_DFL)


class Follower(InStep, AverageShower):
    """Do in the other ranks what concerns them of rank 0's Recorder."""

    stopped = saved = False

    def on_load_checkpoint(self, trainer: Trainer, learner: lightning.LightningModule, checkpoint: Any) -> None:
        super().on_load_checkpoint(trainer, learner, checkpoint)
        self.stopped = checkpoint["recorder"]["stopped"]

    def on_fit_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        trainer.should_stop = self.stopped

    def on_train_epoch_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        assert isinstance(learner, Learner)
        learner.read_means(learner.training_sums)
        _ = trainer.callback_metrics  # what is logged with sync_dist=True meets here
        share_metrics(trainer, {})

    def on_train_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        trainer.save_checkpoint("")  # its part of it: rank 0 writes
        self.saved = True

    def on_fit_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        if not self.saved:
            self.on_train_end(trainer, learner)


class SavingFollower(Checkpoint):
    """Do in the other ranks what concerns them of rank 0's Checkpoints, which come after all other callbacks."""

    def on_train_epoch_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        _ = trainer.callback_metrics
        due, stops = trainer.strategy.broadcast((False, False))
        if due:
            trainer.save_checkpoint("")
        if stops:
            raise Stopped("Stopped on request, of which rank 0 knows.")
