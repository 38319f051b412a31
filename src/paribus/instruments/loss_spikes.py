"""Count the steps of an epoch whose loss leaps up."""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import require_positive
from paribus.instruments.quantities import count_spikes

log = logging.getLogger(__name__)


class LossSpikes(Instrument):
    """The number of steps of an epoch whose training loss leaps above those before it.

    Column of metrics.csv:
        train/loss_spikes: number of batches whose loss lies more than 6 standard deviations above the mean of the
            `window` batches before, also of former epochs. At least a quarter of them must be there. See
            quantities.count_spikes.

    With gradient accumulation the loss is that of each batch. Where several processes share a batch nothing is counted.

    Args:
        window: number of batches before.

    Raises UserError for a window below 1.
    """

    in_stack = "together"

    def __init__(self, window: int = 128):
        require_positive("loss_spikes.window", window)
        self.window = window
        self._before: Tensor | None = None
        self._said = False

    def state_dict(self, *run: int) -> dict[str, Any]:
        if self._before is None:
            return {}
        return {"before": (self._before[:, run[0]] if run else self._before).clone()}

    def load_state_dict(self, *states: dict[str, Any]) -> None:
        stored = [state["before"] for state in states]
        self._before = torch.stack(stored, 1) if self.learner.lead else stored[0]

    def scalars(self, epoch: int) -> Mapping[str, Tensor]:
        losses = self.learner.step_losses
        if losses is None:
            if not self._said:
                log.info("Loss spikes are not counted: no step returns the loss of a whole batch.")
            self._said = True
            return {}
        before = losses[:0] if self._before is None else self._before
        self._before = torch.cat([before, losses])[-self.window :]
        return {"train/loss_spikes": count_spikes(losses, before, self.window)}
