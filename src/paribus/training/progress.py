"""Says how the run is going: a line an epoch, and within long epochs how far it has come."""

import logging
import math
import sys
import time

import lightning
from lightning import Trainer

from paribus.formatting import format_duration
from paribus.training.recorder import Recorder

log = logging.getLogger(__name__)

SHORT = 0.5  # seconds; lines do not follow each other faster
LONG = 60.0  # seconds without a line, where there is no terminal to show a counter on


class Progress(lightning.Callback):
    """A line for each epoch (where epochs are short, for some of them; always the first and the last).

    On a terminal, a counter of batches shows within epochs that take long; elsewhere a line a minute.
    """

    def __init__(self) -> None:
        self._last = -math.inf
        self._next_count = math.inf
        self._fit_started = 0.0
        self._first_epoch = 0

    def on_train_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        self._fit_started = time.monotonic()
        self._first_epoch = trainer.current_epoch

    def on_train_epoch_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        self._next_count = time.monotonic() + (1.0 if sys.stderr.isatty() else LONG)

    def on_train_batch_end(
        self, trainer: Trainer, learner: lightning.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if now < self._next_count:
            return
        text = f"epoch {trainer.current_epoch + 1}: batch {batch_idx + 1} of {trainer.num_training_batches}"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{text} \033[K")
            sys.stderr.flush()
            self._next_count = now + SHORT
        else:
            log.info(text)
            self._next_count = now + LONG

    def on_train_epoch_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        recorder = next(c for c in trainer.callbacks if isinstance(c, Recorder))  # type: ignore[attr-defined]
        assert recorder.recording is not None
        row, now = recorder.recording.rows[-1], time.monotonic()
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 0
        if sys.stderr.isatty() and now > self._next_count - SHORT:
            sys.stderr.write("\r\033[K")
        if now - self._last < SHORT and epoch not in (1, epochs) and not trainer.should_stop:
            return
        self._last = now
        done = epoch - self._first_epoch
        left = (now - self._fit_started) / done * (epochs - epoch)
        cells = [f"epoch {epoch:>{len(str(epochs))}}/{epochs}"]
        for part in ("train", "val"):
            for name, form in (("loss", "{:.4g}"), ("acc", "{:.2%}")):
                value = row.get(f"{part}/{name}")
                if value is not None:
                    cells.append(f"{part} {name} {form.format(value):<6}")
        cells += [f"lr {row['lr']:.3g}", f"{row['epoch_seconds']:.2f} s"]
        if epoch < epochs and not trainer.should_stop:
            cells.append(f"{format_duration(left)} left")
        log.info("  ".join(cells))
