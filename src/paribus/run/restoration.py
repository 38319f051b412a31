"""Name the checkpoint in the errors of a training that is resumed from one whose content does not fit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning
import torch
from lightning import Trainer

from paribus.errors import summarise_error
from paribus.record import RecordError, advise_repeat

COMPLAINTS = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError)
AVERAGES = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg")


class Restoration(lightning.Callback):
    """A callback that checks what was restored, and knows when training begins: later errors are not the file's."""

    def __init__(self, path: Path):
        self.path = path
        self.done = False

    def on_train_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        for optimizer in trainer.optimizers:
            if trainer.global_step and "betas" in optimizer.defaults and not optimizer.state:
                raise ValueError("the optimizer has no averages")
            for parameter, state in optimizer.state.items():
                for name in AVERAGES:
                    average = state.get(name)
                    if isinstance(average, torch.Tensor) and average.shape not in _shapes_of_averages(parameter):
                        raise ValueError(f"{name} of the optimizer has the shape {tuple(average.shape)}")
        self.done = True

    @contextmanager
    def naming_file(self) -> Iterator[None]:
        """Turn errors in the block, while the checkpoint is restored, into one that names the file."""
        try:
            yield
        except COMPLAINTS as error:
            if self.done:
                raise
            reason = summarise_error(error)
            raise RecordError(
                f"{self.path} does not fit the run ({reason}). {advise_repeat(self.path.parents[1])}"
            ) from error


def _shapes_of_averages(parameter: torch.Tensor) -> tuple[torch.Size, ...]:
    """Return the shapes that an average of gradients may have: its parameter's, and filters as a matrix (Muon)."""
    return (parameter.shape, parameter.flatten(1).shape) if parameter.ndim > 2 else (parameter.shape,)
